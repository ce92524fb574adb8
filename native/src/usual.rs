//! The usual range of a number: see `stream_retrain/models/usual.py`.

pub const WARM_UP: f64 = 30.0;
pub const DEVIATIONS: f64 = 20.0;
pub const RATE_MIN: f64 = 1e-3;
const OF_CONSTANTS: f64 = 10.0;

/// How far from its mean a number may be to count as it is.
#[inline]
pub fn reach(mean: f64, variance: f64) -> f64 {
    let far = DEVIATIONS * variance.sqrt();
    if far != 0.0 {
        far
    } else {
        OF_CONSTANTS * (mean.abs() + 1.0)
    }
}

/// Count, mean and variance of a number, and from where to where a value counts as it is.
#[derive(Clone)]
pub struct Range {
    pub count: f64,
    pub mean: f64,
    pub variance: f64,
    low: f64,
    high: f64,
}

impl Range {
    pub fn new(count: f64, mean: f64, variance: f64) -> Range {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut range = Range { count, mean, variance, low, high };
        range.settle();
        range
    }

    fn settle(&mut self) {
        if self.count >= WARM_UP {
            let far = reach(self.mean, self.variance);
            (self.low, self.high) = (self.mean - far, self.mean + far);
        }
    }

    /// The value, or the end of the range that is nearest.
    #[inline]
    pub fn within(&self, value: f64) -> f64 {
        if value < self.low {
            self.low
        } else if value > self.high {
            self.high
        } else {
            value
        }
    }

    /// How many standard deviations a value is from the mean, at most so many; a number that was never observed is a boolean, which counts as it is.
    #[inline]
    pub fn deviations(&self, value: f64, most: f64) -> f64 {
        if self.count == 0.0 {
            return value;
        }
        if self.variance == 0.0 {
            return 0.0;
        }
        let deviations = (value - self.mean) / self.variance.sqrt();
        let deviations = if deviations < most { deviations } else { most };
        if deviations > -most {
            deviations
        } else {
            -most
        }
    }

    /// The standard deviation, once it is known: 1 of booleans, None of a constant.
    pub fn scale(&self) -> Option<f64> {
        if self.count == 0.0 {
            return Some(1.0);
        }
        let scale = self.variance.sqrt();
        (self.count >= WARM_UP && scale > 0.0 && scale < f64::INFINITY).then_some(scale)
    }

    /// The range follows a value, which is in it already.
    #[inline]
    pub fn observe(&mut self, value: f64) {
        self.count += 1.0;
        let rate = if self.count < 1000.0 { 1.0 / self.count } else { RATE_MIN };
        let off = value - self.mean;
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        self.settle();
    }
}
