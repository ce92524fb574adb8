//! A weight whose steps become smaller while it settles, and larger again after a change: see `stream_retrain/models/plain_additive.py`.

/// Added to the sum of squares: it may be very small at first, and decay to 0.
const SQUARES_MIN: f64 = 1e-5;

/// A weight and the decayed sum of its squared gradients.
#[derive(Clone, Copy, Default)]
pub struct Weight {
    pub value: f64,
    pub squares: f64,
}

impl Weight {
    #[inline(always)]
    pub fn step(&mut self, gradient: f64, rate: f64, decay: f64) {
        self.squares = decay * self.squares + gradient * gradient;
        self.value -= rate * gradient / (self.squares + SQUARES_MIN).sqrt();
    }
}
