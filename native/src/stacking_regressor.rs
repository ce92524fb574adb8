//! Stacking over the members of a mixture of regressors: see `stream_retrain/models/stacking_regressor.py`.

use crate::arithmetic::exp;
use crate::block::{Read, Reader, Writer};
use crate::stacking::{finite, share};
use crate::targets::Targets;

const SQUARES_MAX: f64 = 4.0;
const SQUARES_SCALE: f64 = 0.5;
const CORRECTION_MAX: f64 = 2.0;
const ERROR_MAX: f64 = 3.0;
const INVERSE: f64 = 0.02;
const LEVEL_SHARE: f64 = 0.001;

struct LeastSquares {
    forgetting: f64,
    coefficients: Vec<f64>,
    /// By row.
    inverse: Vec<f64>,
    gains: Vec<f64>,
}

impl LeastSquares {
    fn new(forgetting: f64, rows: usize) -> LeastSquares {
        LeastSquares { forgetting, coefficients: vec![0.0; rows], inverse: diagonal(rows), gains: vec![] }
    }

    fn correction(&self, departures: &[f64]) -> f64 {
        self.coefficients.iter().zip(departures).fold(0.0, |total, (coefficient, departure)| total + coefficient * departure)
    }

    fn learn(&mut self, departures: &[f64], error: f64) {
        let rows = departures.len();
        self.gains.clear();
        let mut scale = 0.0;
        for (row, departure) in self.inverse.chunks_exact(rows).zip(departures) {
            let gain = row.iter().zip(departures).fold(0.0, |total, (value, other)| total + value * other);
            self.gains.push(gain);
            scale += gain * departure;
        }
        if scale.is_nan() || scale < 0.0 {
            self.inverse = diagonal(rows);
            return;
        }
        scale += self.forgetting;
        let mut trace = 0.0;
        for (i, row) in self.inverse.chunks_exact_mut(rows).enumerate() {
            let gain = self.gains[i];
            self.coefficients[i] += gain / scale * error;
            for (value, other) in row.iter_mut().zip(&self.gains) {
                *value = (*value - gain * other / scale) / self.forgetting;
            }
            trace += row[i];
        }
        if trace > rows as f64 {
            let scale = rows as f64 / trace;
            self.inverse.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

fn diagonal(rows: usize) -> Vec<f64> {
    (0..rows * rows).map(|at| if at / rows == at % rows { INVERSE } else { 0.0 }).collect()
}

pub struct StackingsOfNumbers {
    stackings: Vec<LeastSquares>,
    /// Of the second level.
    weights: Vec<f64>,
    /// Of the event.
    departures: Vec<f64>,
    corrections: Vec<f64>,
    /// Of the event: the fixed share, and each stacking.
    levels: Vec<f64>,
}

impl StackingsOfNumbers {
    pub fn new(forgettings: &[f64], members: usize) -> StackingsOfNumbers {
        let stackings = forgettings.iter().map(|&forgetting| LeastSquares::new(forgetting, members + 1)).collect();
        let weights = vec![1.0 / (1 + forgettings.len()) as f64; 1 + forgettings.len()];
        StackingsOfNumbers { stackings, weights, departures: vec![], corrections: vec![], levels: vec![] }
    }

    /// Take an event, by what the members' fixed share says, and each member.
    pub fn answer(&mut self, fixed: f64, members: &[Option<f64>], targets: &Targets) {
        let deviation = targets.deviation();
        self.departures.clear();
        self.departures.extend(members.iter().map(|member| member.map_or(0.0, |prediction| (prediction - fixed) / deviation)));
        self.departures.push(1.0);
        self.corrections.clear();
        self.levels.clear();
        self.levels.push(fixed);
        for stacking in &self.stackings {
            let correction = stacking.correction(&self.departures);
            self.corrections.push(correction);
            self.levels.push(targets.clip(fixed + deviation * within(correction, CORRECTION_MAX)));
        }
    }

    /// The second level's prediction.
    pub fn mean(&self) -> f64 {
        self.weights.iter().zip(&self.levels).fold(0.0, |total, (weight, prediction)| total + weight * prediction)
    }

    /// Update everything by the target of the event; the targets' variance is not 0.
    pub fn learn(&mut self, y: f64, targets: &Targets) {
        for (weight, prediction) in self.weights.iter_mut().zip(&self.levels) {
            *weight *= exp(-0.5 * half_squares(y - prediction, targets.variance));
        }
        share(&mut self.weights, LEVEL_SHARE);
        let error = within((y - self.levels[0]) / targets.deviation(), ERROR_MAX);
        for (stacking, correction) in self.stackings.iter_mut().zip(&self.corrections) {
            stacking.learn(&self.departures, error - correction);
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.row(&self.weights);
        for stacking in &self.stackings {
            to.row(&stacking.coefficients);
            to.row(&stacking.inverse);
        }
    }

    /// What `write` wrote.
    pub fn read(&mut self, reader: &mut Reader) -> Read<()> {
        self.weights = finite(reader.row(self.weights.len())?, 0.0)?;
        for stacking in &mut self.stackings {
            let rows = stacking.coefficients.len();
            stacking.coefficients = finite(reader.row(rows)?, f64::NEG_INFINITY)?;
            stacking.inverse = finite(reader.row(rows * rows)?, f64::NEG_INFINITY)?;
        }
        Ok(())
    }
}

/// The loss of an error.
pub fn half_squares(error: f64, variance: f64) -> f64 {
    let squares = error * error / variance;
    SQUARES_SCALE * if squares < SQUARES_MAX { squares } else { SQUARES_MAX }
}

/// The number, or the nearest one of at most this size; as Python's `max(-most, min(most, number))`.
fn within(number: f64, most: f64) -> f64 {
    let number = if number < most { number } else { most };
    if number > -most {
        number
    } else {
        -most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_that_the_truth_lies_beyond_its_members() {
        let mut targets = Targets::default();
        let mut stackings = StackingsOfNumbers::new(&[0.998], 2);
        let mut missed = 0.0;
        for number in 0..2_000 {
            let y = f64::from(number % 7);
            let members = [Some(0.5 * y + 1.0), Some(3.0)];
            stackings.answer(0.25 * y + 2.0, &members, &targets);
            missed = (stackings.mean() - y).abs();
            if targets.variance != 0.0 {
                stackings.learn(y, &targets);
            }
            targets.update(y);
        }
        assert!(missed < 0.3, "{missed}");
    }

    #[test]
    fn what_was_written_is_read() {
        let mut targets = Targets::default();
        [1.0, 2.0].into_iter().for_each(|y| targets.update(y));
        let mut stackings = StackingsOfNumbers::new(&[0.9, 0.99], 1);
        stackings.answer(1.0, &[Some(2.0)], &targets);
        stackings.learn(3.0, &targets);
        let mut to = Writer::default();
        stackings.write(&mut to);
        let (counts, floats) = to.block();
        let mut other = StackingsOfNumbers::new(&[0.9, 0.99], 1);
        assert!(other.read(&mut Reader::new(&counts, &floats[8..]).unwrap()).is_err());
        let mut reader = Reader::new(&counts, &floats).unwrap();
        other.read(&mut reader).unwrap();
        reader.end().unwrap();
        let mut again = Writer::default();
        other.write(&mut again);
        assert_eq!(again.block(), (counts, floats));
    }
}
