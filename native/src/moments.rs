//! A numeric feature: see `Moments` in `stream_retrain/models/bins.py`.

use crate::block::{Damaged, Read, Reader, Writer};
use crate::usual::{reach, DEVIATIONS, RATE_MIN, WARM_UP};

const VARIANCE_MIN: f64 = 1e-300;

/// The first slot of a numeric feature, and its running mean and variance.
pub struct Moments {
    pub base: u32,
    count: f64,
    mean: f64,
    variance: f64,
    scale: f64,
}

impl Moments {
    pub fn new(base: u32) -> Moments {
        Moments { base, count: 0.0, mean: 0.0, variance: 0.0, scale: 0.0 }
    }

    /// How many standard deviations a value is from the mean.
    #[inline(always)]
    pub fn deviation(&self, value: f64) -> f64 {
        (value - self.mean) * self.scale
    }

    #[inline]
    pub fn update(&mut self, value: f64) {
        self.count += 1.0;
        let mut rate = 1.0 / self.count;
        if rate < RATE_MIN {
            rate = RATE_MIN;
        }
        let mut off = value - self.mean;
        let deviations = off * self.scale;
        if self.count > WARM_UP && !(-DEVIATIONS < deviations && deviations < DEVIATIONS) {
            let far = reach(self.mean, self.variance);
            off = if off < far { off } else { far };
            off = if off > -far { off } else { -far };
        }
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        self.scale = 1.0 / (self.variance + VARIANCE_MIN).sqrt();
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.base as usize);
        to.row(&[self.count, self.mean, self.variance]);
    }

    /// What `write` wrote, of a feature with a number of bins among all slots.
    pub fn read(reader: &mut Reader, bins: usize, slots: usize) -> Read<Moments> {
        let base = reader.below(slots)?;
        let (count, mean, variance) = (reader.number()?, reader.number()?, reader.number()?);
        if base + bins > slots || !(0.0..9.007199254740992e15).contains(&count) || !variance.ge(&0.0) {
            return Err(Damaged);
        }
        let scale = if count > 0.0 { 1.0 / (variance + VARIANCE_MIN).sqrt() } else { 0.0 };
        Ok(Moments { base: base as u32, count: count.trunc(), mean, variance, scale })
    }
}
