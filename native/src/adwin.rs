//! ADWIN, a window that is cut where the mean has changed: see `stream_retrain/models/plain_adwin.py`.

use crate::arithmetic::log;
use crate::block::{Damaged, Read, Reader, Writer};

/// Larger values are refused: their squares would overflow.
pub const VALUE_MAX: f64 = 1e140;
/// More values than a window ever holds.
const ROWS_MAX: usize = 48;
const TWO_THIRDS: f64 = 2.0 / 3.0;

pub struct Parameters {
    pub delta: f64,
    pub clock: usize,
    pub max_buckets: usize,
    pub min_window_length: f64,
    pub grace_period: f64,
}

/// The total of values that came one after the other, and their squared deviations from their mean.
#[derive(Clone, Copy)]
struct Bucket {
    total: f64,
    spread: f64,
}

pub struct Adwin {
    parameters: Parameters,
    /// For each row its buckets, the oldest first; those of row r have 2^r values.
    rows: Vec<Vec<Bucket>>,
    width: f64,
    /// Values since cuts were last due.
    tick: usize,
    pub total: f64,
    pub variance: f64,
    pub detections: usize,
    pub drift: bool,
}

impl Adwin {
    pub fn new(parameters: Parameters) -> Adwin {
        Adwin { parameters, rows: vec![vec![]], width: 0.0, tick: 0, total: 0.0, variance: 0.0, detections: 0, drift: false }
    }

    pub fn reset(&mut self) {
        self.rows.truncate(1);
        self.rows[0].clear();
        (self.width, self.total, self.variance) = (0.0, 0.0, 0.0);
        (self.tick, self.detections, self.drift) = (0, 0, false);
    }

    pub fn width(&self) -> u64 {
        self.width as u64
    }

    pub fn takes(x: f64) -> bool {
        x.abs() < VALUE_MAX
    }

    /// Add a value, after an alarm to an empty window; whether it is an alarm.
    pub fn update(&mut self, x: f64) -> bool {
        if self.drift {
            self.reset();
        }
        self.add(x)
    }

    /// Add a value, after an alarm to what it has left of the window; whether it is an alarm.
    pub fn add(&mut self, x: f64) -> bool {
        self.insert(x);
        self.tick += 1;
        self.drift = false;
        if self.tick == self.parameters.clock {
            self.tick = 0;
            if self.width > self.parameters.grace_period {
                while self.is_cut() {
                    self.drop_oldest();
                    self.drift = true;
                }
            }
        }
        self.detections += usize::from(self.drift);
        self.drift
    }

    fn insert(&mut self, x: f64) {
        let before = self.width;
        self.width = before + 1.0;
        if before != 0.0 {
            let off = x - self.total / before;
            self.variance += before * off * off / self.width;
        }
        self.total += x;
        self.rows[0].push(Bucket { total: x, spread: 0.0 });
        let (mut number, mut size) = (0, 1.0);
        while self.rows[number].len() > self.parameters.max_buckets {
            let (first, second) = (self.rows[number][0], self.rows[number][1]);
            self.rows[number].drain(..2);
            let off = first.total / size - second.total / size;
            let merged = Bucket { total: first.total + second.total, spread: first.spread + second.spread + size * 0.5 * off * off };
            number += 1;
            if number == self.rows.len() {
                self.rows.push(vec![]);
            }
            self.rows[number].push(merged);
            size += size;
        }
    }

    /// Whether the means before and after one of the cuts differ by more than chance allows.
    fn is_cut(&self) -> bool {
        let shortest = self.parameters.min_window_length;
        let log = log(2.0 * log(self.width) / self.parameters.delta);
        let spread = self.variance / self.width;
        let (mut before, mut after, mut total_before, mut total_after) = (0.0, self.width, 0.0, self.total);
        for (number, row) in self.rows.iter().enumerate().rev() {
            let size = size_of(number);
            for bucket in row {
                before += size;
                after -= size;
                total_before += bucket.total;
                total_after -= bucket.total;
                if after < shortest {
                    return false;
                }
                if before < shortest {
                    continue;
                }
                let shares = 1.0 / (before - shortest + 1.0) + 1.0 / (after - shortest + 1.0);
                let square = 2.0 * shares * spread * log;
                // Below 0 it is a variance of 0 that rounding has left there.
                let apart: f64 = total_before / before - total_after / after;
                if square >= 0.0 && apart.abs() > square.sqrt() + TWO_THIRDS * log * shares {
                    return true;
                }
            }
        }
        false
    }

    /// Drop the oldest bucket; there are others.
    fn drop_oldest(&mut self) {
        let last = self.rows.len() - 1;
        let (size, oldest) = (size_of(last), self.rows[last].remove(0));
        self.width -= size;
        self.total -= oldest.total;
        let off = oldest.total / size - self.total / self.width;
        self.variance -= oldest.spread + size * self.width * off * off / (size + self.width);
        while self.rows.len() > 1 && self.rows[self.rows.len() - 1].is_empty() {
            self.rows.pop();
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(usize::from(self.drift));
        to.count(self.tick);
        to.count(self.detections);
        to.count(self.rows.len());
        to.row(&[self.total, self.variance]);
        for row in &self.rows {
            to.count(row.len());
            row.iter().for_each(|bucket| to.row(&[bucket.total, bucket.spread]));
        }
    }

    /// What `write` wrote.
    pub fn read(&mut self, reader: &mut Reader) -> Read<()> {
        (self.drift, self.tick, self.detections) = (reader.flag()?, reader.below(self.parameters.clock)?, reader.count()?);
        let rows = reader.below(ROWS_MAX)?;
        (self.total, self.variance) = (reader.number()?, reader.number()?);
        (self.rows, self.width) = (vec![], 0.0);
        for number in 0..rows {
            let count = reader.below(self.parameters.max_buckets + 1)?;
            let values = reader.row(2 * count)?;
            self.rows.push(values.chunks_exact(2).map(|pair| Bucket { total: pair[0], spread: pair[1] }).collect());
            self.width += count as f64 * size_of(number);
        }
        match self.rows.last() {
            None => Err(Damaged),
            Some(row) if rows > 1 && row.is_empty() => Err(Damaged),
            _ => Ok(()),
        }
    }
}

/// How many values a bucket of this row has.
fn size_of(row: usize) -> f64 {
    (1u64 << row) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adwin(clock: usize) -> Adwin {
        Adwin::new(Parameters { delta: 0.01, clock, max_buckets: 2, min_window_length: 5.0, grace_period: 10.0 })
    }

    #[test]
    fn it_fires_where_the_mean_changes_and_keeps_what_came_since() {
        let mut detector = adwin(8);
        let fired: Vec<u32> = (0..600).filter(|&number| detector.add(f64::from(u8::from(number % 10 == 0 || number > 300)))).collect();
        assert!(!fired.is_empty() && fired[0] > 300 && fired[0] < 340 && fired[0] % 8 == 7, "{fired:?}");
        assert!(detector.width() < 330 && detector.total / detector.width > 0.9);
        assert_eq!(detector.detections, fired.len());
    }

    #[test]
    fn a_state_goes_on_and_one_that_is_damaged_is_refused() {
        let mut detector = adwin(7);
        (0..1000).for_each(|number| {
            detector.update(f64::from(number % 13));
        });
        let mut to = Writer::default();
        detector.write(&mut to);
        let (counts, floats) = to.block();
        let (mut other, mut reader) = (adwin(7), Reader::new(&counts, &floats).unwrap());
        assert_eq!(other.read(&mut reader), Ok(()));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!((other.width(), other.tick, other.total), (1000, 1000 % 7, detector.total));
        let shorter = Reader::new(&counts, &floats[8..]).and_then(|mut reader| adwin(7).read(&mut reader));
        let other_clock = Reader::new(&counts, &floats).and_then(|mut reader| adwin(6).read(&mut reader));
        assert_eq!((shorter, other_clock), (Err(Damaged), Err(Damaged)));
    }

    #[test]
    fn one_bucket_a_row_leaves_rows_empty() {
        let mut detector = Adwin::new(Parameters { delta: 0.9, clock: 1, max_buckets: 1, min_window_length: 1.0, grace_period: 0.0 });
        for number in 0..5000 {
            detector.add(if number / 40 % 2 == 0 { 0.0 } else { 1e6 });
        }
        assert!(detector.detections > 100 && detector.width() > 0);
    }
}
