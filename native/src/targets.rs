//! Range, running mean and running variance of a regression's targets: see `stream_retrain/models/targets.py`.

use crate::block::{Read, Reader, Writer};
use crate::usual::{reach, RATE_MIN, WARM_UP};

const MARGIN: f64 = 0.1;
pub const TARGET_MAX: f64 = 1e150;

pub struct Targets {
    pub count: f64,
    pub mean: f64,
    pub variance: f64,
    low: f64,
    high: f64,
}

impl Default for Targets {
    fn default() -> Targets {
        Targets { count: 0.0, mean: 0.0, variance: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY }
    }
}

impl Targets {
    /// The running standard deviation; 1 while all targets are equal.
    pub fn deviation(&self) -> f64 {
        let deviation = self.variance.sqrt();
        if deviation != 0.0 {
            deviation
        } else {
            1.0
        }
    }

    /// Add a target.
    pub fn update(&mut self, y: f64) {
        let y = self.usual(y);
        self.count += 1.0;
        let rate = larger(1.0 / self.count, RATE_MIN);
        let off = y - self.mean;
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        self.low = if y < self.low { y } else { self.low };
        self.high = if y > self.high { y } else { self.high };
    }

    /// The target as it counts: itself, or the nearest usual one.
    pub fn usual(&self, y: f64) -> f64 {
        if self.count < WARM_UP {
            return y;
        }
        let far = reach(self.mean, self.variance);
        if y > self.mean + far {
            self.mean + far
        } else {
            larger(y, self.mean - far)
        }
    }

    /// The prediction clipped to the range seen plus the margin; the mean instead of NaN; 0 before any target.
    pub fn clip(&self, prediction: f64) -> f64 {
        if self.count == 0.0 {
            return 0.0;
        }
        let margin = MARGIN * (self.high - self.low);
        if prediction > self.high + margin {
            self.high + margin
        } else if prediction < self.low - margin {
            self.low - margin
        } else if prediction.is_nan() {
            self.mean
        } else {
            prediction
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.row(&[self.count, self.mean, self.variance, self.low, self.high]);
    }

    pub fn read(reader: &mut Reader) -> Read<Targets> {
        Ok(Targets { count: reader.number()?, mean: reader.number()?, variance: reader.number()?, low: reader.number()?, high: reader.number()? })
    }
}

/// As Python's `max`: the first, unless the second is greater.
fn larger(first: f64, second: f64) -> f64 {
    if second > first {
        second
    } else {
        first
    }
}
