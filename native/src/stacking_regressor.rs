//! Stacking over the members of a mixture of regressors: see `stream_retrain/models/stacking_regressor.py`.

use crate::arithmetic::exp;
use crate::block::{Read, Reader, Writer};
use crate::stacking::{finite, share};
use crate::targets::Targets;

const SQUARES_MAX: f64 = 4.0;
const SQUARES_SCALE: f64 = 0.5;
const CORRECTION_MAX: f64 = 2.0;
pub const ERROR_MAX: f64 = 3.0;
const INVERSE: f64 = 0.02;
const LEVEL_SHARE: f64 = 0.001;

const OF_ERRORS: [f64; 3] = [1.0, 0.3, 0.05];
const OF_TARGETS: [f64; 2] = [1.0, 0.1];
/// How many numbers `recent` has.
pub const RECENT: usize = OF_ERRORS.len() + OF_TARGETS.len();

struct LeastSquares {
    forgetting: f64,
    coefficients: Vec<f64>,
    /// By row; it is symmetric.
    inverse: Vec<f64>,
    gains: Vec<f64>,
}

impl LeastSquares {
    fn new(forgetting: f64, rows: usize) -> LeastSquares {
        LeastSquares { forgetting, coefficients: vec![0.0; rows], inverse: diagonal(rows), gains: vec![0.0; rows] }
    }

    fn correction(&self, rows: &[f64]) -> f64 {
        self.coefficients.iter().zip(rows).fold(0.0, |total, (coefficient, row)| total + coefficient * row)
    }

    fn learn(&mut self, rows: &[f64], error: f64) {
        let count = rows.len();
        self.gains.fill(0.0);
        for (values, row) in self.inverse.chunks_exact(count).zip(rows) {
            for (gain, value) in self.gains.iter_mut().zip(values) {
                *gain += value * row;
            }
        }
        let scale = self.gains.iter().zip(rows).fold(0.0, |total, (gain, row)| total + gain * row);
        if scale.is_nan() || scale < 0.0 {
            self.inverse = diagonal(count);
            return;
        }
        let scale = 1.0 / (scale + self.forgetting);
        let kept = 1.0 / self.forgetting;
        let mut trace = 0.0;
        for (i, values) in self.inverse.chunks_exact_mut(count).enumerate() {
            let gain = self.gains[i];
            self.coefficients[i] += gain * scale * error;
            for (value, other) in values.iter_mut().zip(&self.gains) {
                *value = (*value - gain * other * scale) * kept;
            }
            trace += values[i];
        }
        if trace > count as f64 {
            let scale = count as f64 / trace;
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
    /// The means of recent errors, in deviations.
    errors: [f64; OF_ERRORS.len()],
    /// Those of recent targets.
    targets: [f64; OF_TARGETS.len()],
    /// Of the event.
    rows: Vec<f64>,
    corrections: Vec<f64>,
    /// Of the event: the fixed share, the plain mean, and each stacking.
    pub levels: Vec<f64>,
}

impl StackingsOfNumbers {
    pub fn new(forgettings: &[f64], members: usize) -> StackingsOfNumbers {
        let stackings = forgettings.iter().map(|&forgetting| LeastSquares::new(forgetting, members + 1 + RECENT)).collect();
        let levels = 2 + forgettings.len();
        StackingsOfNumbers {
            stackings,
            weights: vec![1.0 / levels as f64; levels],
            errors: [0.0; OF_ERRORS.len()],
            targets: [0.0; OF_TARGETS.len()],
            rows: vec![],
            corrections: vec![],
            levels: vec![0.0; levels],
        }
    }

    /// The means of recent errors, in deviations, and those of recent targets.
    pub fn recent(&self) -> [f64; RECENT] {
        let mut recent = [0.0; RECENT];
        recent[..OF_ERRORS.len()].copy_from_slice(&self.errors);
        recent[OF_ERRORS.len()..].copy_from_slice(&self.targets);
        recent
    }

    /// Take an event, by what the members' fixed share says, each member, and what was recent when it came.
    pub fn answer(&mut self, fixed: f64, members: &[Option<f64>], recent: &[f64; RECENT], targets: &Targets) {
        let deviation = targets.deviation();
        let (mut total, mut count) = (0.0, 0.0);
        self.rows.clear();
        for member in members {
            self.rows.push(member.map_or(0.0, |prediction| (prediction - fixed) / deviation));
            if let Some(prediction) = member {
                total += prediction;
                count += 1.0;
            }
        }
        self.rows.push(1.0);
        let (errors, of_targets) = recent.split_at(OF_ERRORS.len());
        self.rows.extend(errors);
        self.rows.extend(of_targets.iter().map(|target| within((target - fixed) / deviation, ERROR_MAX)));
        self.corrections.clear();
        self.levels.clear();
        self.levels.push(fixed);
        self.levels.push(if count != 0.0 { total / count } else { fixed });
        for stacking in &self.stackings {
            let correction = stacking.correction(&self.rows);
            self.corrections.push(correction);
            self.levels.push(targets.clip(fixed + deviation * within(correction, CORRECTION_MAX)));
        }
    }

    /// The second level's prediction.
    pub fn mean(&self) -> f64 {
        self.weights.iter().zip(&self.levels).fold(0.0, |total, (weight, prediction)| total + weight * prediction)
    }

    /// Update everything by the target of the event, and by the levels as they were when it came, if they are known; the targets' variance
    /// is not 0.
    pub fn learn(&mut self, levels: Option<&[f64]>, y: f64, targets: &Targets) {
        for (weight, prediction) in self.weights.iter_mut().zip(levels.unwrap_or(&self.levels)) {
            *weight *= exp(-0.5 * half_squares(y - prediction, targets.variance));
        }
        share(&mut self.weights, LEVEL_SHARE);
        let error = within((y - self.levels[0]) / targets.deviation(), ERROR_MAX);
        for (stacking, correction) in self.stackings.iter_mut().zip(&self.corrections) {
            stacking.learn(&self.rows, error - correction);
        }
        for (mean, rate) in self.errors.iter_mut().zip(OF_ERRORS) {
            *mean += rate * (error - *mean);
        }
    }

    /// Add a target to those that are recent, as it counts.
    pub fn follow(&mut self, usual: f64, first: bool) {
        for (mean, rate) in self.targets.iter_mut().zip(OF_TARGETS) {
            *mean = if first { usual } else { *mean + rate * (usual - *mean) };
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.row(&self.weights);
        to.row(&self.errors);
        to.row(&self.targets);
        for stacking in &self.stackings {
            to.row(&stacking.coefficients);
            to.row(&stacking.inverse);
        }
    }

    /// What `write` wrote.
    pub fn read(&mut self, reader: &mut Reader) -> Read<()> {
        self.weights = finite(reader.row(self.weights.len())?, 0.0)?;
        self.errors.copy_from_slice(&finite(reader.row(OF_ERRORS.len())?, f64::NEG_INFINITY)?);
        self.targets.copy_from_slice(&finite(reader.row(OF_TARGETS.len())?, f64::NEG_INFINITY)?);
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
pub fn within(number: f64, most: f64) -> f64 {
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
            let recent = stackings.recent();
            stackings.answer(0.25 * y + 2.0, &members, &recent, &targets);
            missed = (stackings.mean() - y).abs();
            if targets.variance != 0.0 {
                stackings.learn(None, y, &targets);
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
        stackings.answer(1.0, &[Some(2.0)], &[0.5; RECENT], &targets);
        stackings.learn(Some(&[1.0, 2.0, 1.0, 1.0]), 3.0, &targets);
        stackings.follow(3.0, false);
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
