//! HDDM-A for a rising error: see `stream_retrain/models/fast_hddma.py`.

use crate::arithmetic::log;
use crate::block::{Read, Reader, Writer};

pub struct Hddma {
    drift_log: f64,
    warning_log: f64,
    bound_log: f64,
    count: f64,
    mean: f64,
    cut_count: f64,
    cut_mean: f64,
    /// Mean plus bound at the cut: the lowest seen since the start.
    cut_line: f64,
    pub drift: bool,
    pub warning: bool,
}

impl Hddma {
    pub fn new(drift_confidence: f64, warning_confidence: f64) -> Hddma {
        Hddma {
            drift_log: log(2.0 / drift_confidence),
            warning_log: log(2.0 / warning_confidence),
            bound_log: log(1.0 / drift_confidence),
            count: 0.0,
            mean: 0.0,
            cut_count: 0.0,
            cut_mean: 0.0,
            cut_line: f64::INFINITY,
            drift: false,
            warning: false,
        }
    }

    pub fn reset(&mut self) {
        (self.count, self.mean, self.cut_count, self.cut_mean) = (0.0, 0.0, 0.0, 0.0);
        (self.cut_line, self.drift, self.warning) = (f64::INFINITY, false, false);
    }

    /// Add an error; whether it is an alarm.
    pub fn update(&mut self, error: f64) -> bool {
        if self.drift {
            self.reset();
        }
        self.count += 1.0;
        self.mean += (1.0 / self.count) * (error - self.mean);
        let line = self.mean + (1.0 / (2.0 * self.count) * self.bound_log).sqrt();
        if self.cut_line >= line {
            (self.cut_count, self.cut_mean, self.cut_line) = (self.count, self.mean, line);
            self.warning = false;
            return false;
        }
        let rise = self.mean - self.cut_mean;
        if rise <= 0.0 {
            self.warning = false;
            return false;
        }
        let spread = (self.count - self.cut_count) / self.cut_count * (1.0 / self.count) / 2.0;
        self.drift = rise >= (spread * self.drift_log).sqrt();
        self.warning = !self.drift && rise >= (spread * self.warning_log).sqrt();
        self.drift
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(usize::from(self.drift));
        to.count(usize::from(self.warning));
        to.row(&[self.count, self.mean, self.cut_count, self.cut_mean, self.cut_line]);
    }

    /// What `write` wrote.
    pub fn read(&mut self, reader: &mut Reader) -> Read<()> {
        (self.drift, self.warning) = (reader.flag()?, reader.flag()?);
        (self.count, self.mean) = (reader.number()?, reader.number()?);
        (self.cut_count, self.cut_mean, self.cut_line) = (reader.number()?, reader.number()?, reader.number()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fires_once_the_error_has_risen_and_begins_afresh() {
        let mut detector = Hddma::new(0.005, 0.01);
        let fired: Vec<u32> = (0..600).filter(|&number| detector.update(f64::from(u8::from(number % 10 == 0 || number > 300)))).collect();
        assert!(!fired.is_empty() && fired[0] > 300 && fired[0] < 340, "{fired:?}");
        let mut to = Writer::default();
        detector.write(&mut to);
        let (counts, floats) = to.block();
        let (mut other, mut reader) = (Hddma::new(0.005, 0.01), Reader::new(&counts, &floats).unwrap());
        assert_eq!(other.read(&mut reader), Ok(()));
        assert_eq!((other.count, other.mean, other.drift), (detector.count, detector.mean, detector.drift));
    }
}
