//! Number, mean and sum of squares of targets: see `stream_retrain/models/tree_bins.py`.

/// A side of a split has at least so many events.
pub const LEAST: f64 = 5.0;

#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Moments {
    pub count: f64,
    pub mean: f64,
    pub squares: f64,
}

impl Moments {
    /// One more target.
    #[inline]
    pub fn add(&mut self, target: f64, w: f64) {
        self.count += w;
        let off = target - self.mean;
        self.mean += w * off / self.count;
        self.squares += w * off * (target - self.mean);
    }

    /// With the targets of another set.
    #[inline]
    pub fn with(&self, other: &Moments) -> Moments {
        let count = self.count + other.count;
        let off = other.mean - self.mean;
        let part = other.count / count;
        Moments { count, mean: self.mean + off * part, squares: self.squares + other.squares + off * off * self.count * part }
    }

    /// Without a part of them.
    pub fn without(&self, part: &Moments) -> Moments {
        let count = self.count - part.count;
        if count <= 0.0 {
            return Moments::default();
        }
        let mean = (self.count * self.mean - part.count * part.mean) / count;
        let off = mean - part.mean;
        let squares = self.squares - part.squares - off * off * count * part.count / self.count;
        Moments { count, mean, squares: if squares > 0.0 { squares } else { 0.0 } }
    }

    /// The variance of the targets; 0 of one alone.
    #[inline]
    pub fn variance(&self) -> f64 {
        if self.count > 1.0 {
            self.squares / (self.count - 1.0)
        } else {
            0.0
        }
    }

    pub fn numbers(&self) -> [f64; 3] {
        [self.count, self.mean, self.squares]
    }
}

/// By how much branches lower the variance; 0 where one has too few events.
pub fn merit(total: &Moments, children: &[Moments]) -> f64 {
    if children.iter().any(|child| child.count < LEAST) {
        return 0.0;
    }
    children.iter().fold(total.variance(), |merit, child| merit - child.count / total.count * child.variance())
}
