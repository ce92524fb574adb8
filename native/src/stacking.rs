//! Stacking over the members of a mixture of classifiers: see `stream_retrain/models/stacking.py`.

use crate::additive::softmax;
use crate::arithmetic::log;
use crate::block::{Damaged, Read, Reader, Writer};
use crate::weight::Weight;

const PROBABILITY_MIN: f64 = 0.005;
const DECAY: f64 = 0.999;
const BIAS: f64 = 0.3;
const LEVEL_SHARE: f64 = 0.0003;

fn write_weights(weights: &[Weight], to: &mut Writer) {
    weights.iter().for_each(|weight| to.number(weight.value));
    weights.iter().for_each(|weight| to.number(weight.squares));
}

fn read_weights(reader: &mut Reader, count: usize) -> Read<Vec<Weight>> {
    let (values, squares) = (finite(reader.row(count)?, f64::NEG_INFINITY)?, finite(reader.row(count)?, 0.0)?);
    Ok(values.into_iter().zip(squares).map(|(value, squares)| Weight { value, squares }).collect())
}

struct Stacking {
    rate: f64,
    weights: Vec<Weight>,
    biases: Vec<Weight>,
}

impl Stacking {
    fn answer(&self, logs: &[f64], scores: &mut Vec<f64>, proba: &mut Vec<f64>) {
        scores.clear();
        scores.extend(self.biases.iter().map(|bias| bias.value));
        for (weight, row) in self.weights.iter().zip(logs.chunks_exact(scores.len())) {
            for (score, value) in scores.iter_mut().zip(row) {
                *score += weight.value * value;
            }
        }
        softmax(scores, proba);
    }

    fn learn(&mut self, logs: &[f64], errors: &[f64]) {
        for (weight, row) in self.weights.iter_mut().zip(logs.chunks_exact(errors.len())) {
            let gradient = errors.iter().zip(row).fold(0.0, |total, (error, value)| total + error * value);
            weight.step(gradient, self.rate, DECAY);
        }
        for (bias, error) in self.biases.iter_mut().zip(errors) {
            bias.step(*error, BIAS * self.rate, DECAY);
        }
    }
}

pub struct Stackings {
    members: usize,
    stackings: Vec<Stacking>,
    /// Of the second level.
    weights: Vec<f64>,
    classes: usize,
    /// Of the event: by member its probabilities by class, which become log probabilities less their mean.
    pub rows: Vec<f64>,
    /// Of the event: by level its probabilities by class; the fixed share is the first, the plain mean the second.
    levels: Vec<f64>,
    scores: Vec<f64>,
    proba: Vec<f64>,
}

impl Stackings {
    pub fn new(rates: &[f64], members: usize) -> Stackings {
        let weight = |value| Weight { value, squares: 1.0 };
        let made = |&rate: &f64| Stacking { rate, weights: vec![weight(1.0 / members as f64); members], biases: vec![] };
        let weights = vec![1.0 / (2 + rates.len()) as f64; 2 + rates.len()];
        let stackings = rates.iter().map(made).collect();
        Stackings { members, stackings, weights, classes: 0, rows: vec![], levels: vec![], scores: vec![], proba: vec![] }
    }

    /// Begin an event of so many classes: `rows` is to be filled with the probabilities.
    pub fn begin(&mut self, classes: usize) {
        self.classes = classes;
        self.rows.clear();
        self.rows.resize(self.members * classes, 0.0);
    }

    /// Take the event whose rows are known. `fixed`: what the fixed share says; `awake`: which members have an answer.
    pub fn answer(&mut self, fixed: &[f64], awake: impl Iterator<Item = bool>) {
        let classes = self.classes;
        self.proba.clear();
        self.proba.resize(classes, 0.0);
        let mut count = 0.0;
        for (row, awake) in self.rows.chunks_exact_mut(classes).zip(awake) {
            if !awake {
                continue;
            }
            count += 1.0;
            let mut mean = 0.0;
            for (value, total) in row.iter_mut().zip(&mut self.proba) {
                *total += *value;
                *value = log(clipped(*value, PROBABILITY_MIN));
                mean += *value;
            }
            mean /= classes as f64;
            row.iter_mut().for_each(|value| *value -= mean);
        }
        self.levels.clear();
        self.levels.extend_from_slice(fixed);
        self.levels.extend(self.proba.iter().map(|total| total / count));
        for stacking in &mut self.stackings {
            stacking.biases.resize(classes, Weight { value: 0.0, squares: 1.0 });
            stacking.answer(&self.rows, &mut self.scores, &mut self.proba);
            self.levels.extend_from_slice(&self.proba);
        }
    }

    /// The second level's probability of each class.
    pub fn mean(&self, mixed: &mut [f64]) {
        mixed.fill(0.0);
        for (weight, proba) in self.weights.iter().zip(self.levels.chunks_exact(self.classes)) {
            for (to, p) in mixed.iter_mut().zip(proba) {
                *to += weight * p;
            }
        }
    }

    /// What each level says, one after the other.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// Update everything by the label of the event. `served`: the levels of when it was predicted, where they were kept.
    pub fn learn(&mut self, y: usize, served: Option<&[f64]>) -> Read<()> {
        let (classes, count) = (self.classes, self.weights.len());
        let mut said = (self.levels.as_slice(), classes);
        if let Some(served) = served {
            if served.len() % count != 0 || !served.iter().all(|p| *p >= 0.0 && p.is_finite()) {
                return Err(Damaged);
            }
            // else its class was not known then
            if y < served.len() / count {
                said = (served, served.len() / count);
            }
        }
        for (weight, proba) in self.weights.iter_mut().zip(said.0.chunks_exact(said.1)) {
            *weight *= clipped(proba[y], PROBABILITY_MIN).sqrt().sqrt().sqrt().sqrt();
        }
        share(&mut self.weights, LEVEL_SHARE);
        for (stacking, proba) in self.stackings.iter_mut().zip(self.levels.chunks_exact_mut(classes).skip(2)) {
            proba[y] -= 1.0;
            stacking.learn(&self.rows, proba);
        }
        Ok(())
    }

    pub fn write(&self, to: &mut Writer) {
        to.row(&self.weights);
        to.count(self.stackings[0].biases.len());
        for stacking in &self.stackings {
            write_weights(&stacking.weights, to);
            write_weights(&stacking.biases, to);
        }
    }

    /// What `write` wrote; there may be fewer classes than are known now.
    pub fn read(&mut self, reader: &mut Reader, classes: usize) -> Read<()> {
        self.weights = finite(reader.row(self.weights.len())?, 0.0)?;
        let known = reader.below(classes + 1)?;
        for stacking in &mut self.stackings {
            stacking.weights = read_weights(reader, self.members)?;
            stacking.biases = read_weights(reader, known)?;
        }
        Ok(())
    }
}

/// The probability as it counts: at least `low`, and at most 1 minus that.
pub fn clipped(p: f64, low: f64) -> f64 {
    let p = if p < low { low } else { p };
    if p > 1.0 - low {
        1.0 - low
    } else {
        p
    }
}

/// The values of a state; it is damaged where one is not finite, or below the least.
pub fn finite(values: Vec<f64>, least: f64) -> Read<Vec<f64>> {
    match values.iter().all(|&value| least <= value && value.is_finite()) {
        true => Ok(values),
        false => Err(Damaged),
    }
}

/// The weights scaled to a sum of 1 - share, and an equal part of `share` added to each.
pub fn share(weights: &mut [f64], share: f64) {
    let total = weights.iter().fold(0.0, |total, weight| total + weight);
    let (scale, floor) = ((1.0 - share) / total, share / weights.len() as f64);
    weights.iter_mut().for_each(|weight| *weight = scale * *weight + floor);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two members: one says the truth with .7, the other its opposite with .9.
    fn learned(events: usize) -> (Stackings, Vec<f64>) {
        let (mut stackings, mut mixed) = (Stackings::new(&[0.1], 2), vec![0.0; 2]);
        for number in 0..events {
            let y = number % 2;
            stackings.begin(2);
            for (at, p) in [(y, 0.7), (1 - y, 0.3), (2 + y, 0.1), (3 - y, 0.9)] {
                stackings.rows[at] = p;
            }
            stackings.answer(&[0.5, 0.5], [true, true].into_iter());
            stackings.mean(&mut mixed);
            stackings.learn(y, None).unwrap();
        }
        (stackings, mixed)
    }

    #[test]
    fn a_member_that_is_wrong_is_turned_round() {
        assert!(learned(301).1[0] > 0.9, "{:?}", learned(301).1);
    }

    #[test]
    fn what_was_written_is_read() {
        let (stackings, _) = learned(50);
        let mut to = Writer::default();
        stackings.write(&mut to);
        let (counts, floats) = to.block();
        let mut other = Stackings::new(&[0.1], 2);
        assert!(other.read(&mut Reader::new(&counts, &floats).unwrap(), 1).is_err());
        let mut reader = Reader::new(&counts, &floats).unwrap();
        other.read(&mut reader, 2).unwrap();
        reader.end().unwrap();
        let mut again = Writer::default();
        other.write(&mut again);
        assert_eq!(again.block(), (counts, floats));
    }
}
