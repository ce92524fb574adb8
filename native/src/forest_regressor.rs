//! `RestartingForestRegressor`: see `stream_retrain/models/plain_forest_regressor.py` for the theory.

use crate::block::{Read, Reader, Writer};
use crate::features::Feature;
use crate::forest::Params;
use crate::poisson::Poisson;
use crate::regression::{leaf_bytes, Event, ForestTree};
use crate::targets::Targets;
use crate::wood::{self, Wood};

/// A tree's squared error lately falls by this part with each event.
const DECAY: f64 = 0.995;
const ERROR_AT_FIRST: f64 = 1.0;
/// A squared error counts as at most so many variances, and lately as at least so much.
const ERROR_MAX: f64 = 4.0;
const ERROR_MIN: f64 = 1e-9;
/// A number counts as at most so many standard deviations from its mean.
const DEVIATIONS: f64 = 4.0;

/// What each tree predicted.
#[derive(Clone, Default)]
pub struct Said {
    /// How often trees had been replaced before.
    pub changes: u64,
    pub numbers: Vec<f64>,
}

pub struct ForestRegressor {
    pub changes: u64,
    pub features: Vec<Feature>,
    pub targets: Targets,
    params: Params,
    poisson: Poisson,
    woods: Vec<Wood<ForestTree>>,
    standard: Vec<f64>,
}

impl ForestRegressor {
    pub fn new(params: &Params) -> ForestRegressor {
        ForestRegressor {
            changes: 0,
            features: vec![],
            targets: Targets::default(),
            woods: wood::woods(params, ERROR_AT_FIRST, || ForestTree::new(&params.tree)),
            params: params.clone(),
            poisson: Poisson::new(params.weight_mean),
            standard: vec![],
        }
    }

    /// The weighted mean of what each tree predicts.
    pub fn predict(&mut self, row: &[f64], said: &mut Said) -> f64 {
        said.changes = self.changes;
        said.numbers.clear();
        self.standardise(row);
        let mut least = f64::INFINITY;
        for wood in &self.woods {
            let number = self.targets.clip(wood.tree.predict(row, &self.standard).unwrap_or(self.targets.mean));
            said.numbers.push(number);
            least = if wood.error < least { wood.error } else { least };
        }
        let (mut sum, mut total) = (0.0, 0.0);
        for (wood, number) in self.woods.iter().zip(&said.numbers) {
            let weight = weight(least, wood.error);
            sum += weight * number;
            total += weight;
        }
        sum / total
    }

    /// Whether there is a tree of which it is not known what it said; it is asked when the event is scored.
    pub fn must_ask(&self, said: &Said) -> bool {
        said.numbers.len() < self.woods.len() || self.woods.iter().any(|wood| said.changes < wood.since)
    }

    /// Score what was said of an event before it is learned; the row is needed where a tree must be asked.
    pub fn score(&mut self, said: &Said, row: &[f64], y: f64) {
        if self.targets.variance == 0.0 {
            return;
        }
        if self.must_ask(said) {
            self.standardise(row);
        }
        let (variance, deviation) = (self.targets.variance, self.targets.deviation());
        for number in 0..self.woods.len() {
            let wood = &mut self.woods[number];
            let predicted = match said.numbers.get(number) {
                Some(&predicted) if said.changes >= wood.since => predicted,
                _ => self.targets.clip(wood.tree.predict(row, &self.standard).unwrap_or(self.targets.mean)),
            };
            let off = y - predicted;
            let squared = off * off / variance;
            wood.error = DECAY * wood.error + (1.0 - DECAY) * if squared < ERROR_MAX { squared } else { ERROR_MAX };
            let error = off.abs() / deviation;
            let error = if error < 1.0 { error } else { 1.0 };
            let wanted = wood.watch(error, &mut self.changes, || ForestTree::new(&self.params.tree));
            if wanted && wood::leaves(&self.woods) < self.params.memory_max / leaf_bytes(&self.features) {
                self.woods[number].successor = Some(ForestTree::new(&self.params.tree));
            }
        }
    }

    /// Learn one event, whose target is a usual one and known to `targets`.
    pub fn learn(&mut self, row: &[f64], y: f64) {
        self.standardise(row);
        let event = Event { row, standard: &self.standard, y, deviation: self.targets.deviation() };
        let (features, bytes) = (&self.features, leaf_bytes(&self.features));
        wood::learn(&mut self.woods, &self.params, &self.poisson, |tree, w, chance| tree.learn(&event, w, features, bytes, chance));
    }

    /// The numbers of an event in standard deviations from their means; 0 of what is none, or is missing.
    fn standardise(&mut self, row: &[f64]) {
        self.standard.clear();
        self.standard.extend(self.features.iter().zip(row).map(|(feature, &value)| match feature {
            Feature::Number(range) if !value.is_nan() => range.deviations(value, DEVIATIONS),
            _ => 0.0,
        }));
    }

    /// Bytes of all trees and successors, as they are estimated.
    pub fn memory(&self) -> usize {
        wood::leaves(&self.woods) * leaf_bytes(&self.features)
    }

    pub fn withhold(&mut self, feature: u32) {
        wood::withhold(&mut self.woods, feature);
    }

    pub fn shape(&self) -> (usize, usize, usize) {
        wood::shape(&self.woods)
    }

    pub fn write(&self, to: &mut Writer) {
        self.targets.write(to);
        self.features.iter().for_each(|feature| feature.write(to));
        to.count(self.changes as usize);
        self.woods.iter().for_each(|wood| wood.write(to, ForestTree::write));
    }

    /// What `write` wrote, into a new forest. `categories`: how many each feature has.
    pub fn read(&mut self, reader: &mut Reader, categories: &[usize]) -> Read<()> {
        self.targets = Targets::read(reader)?;
        self.features = categories.iter().map(|_| Feature::read(reader)).collect::<Read<_>>()?;
        self.changes = reader.count()? as u64;
        for wood in &mut self.woods {
            wood.read(reader, self.changes, ERROR_MAX, |reader| {
                let mut tree = ForestTree::new(&self.params.tree);
                tree.read(reader, &self.features, categories).map(|()| tree)
            })?;
        }
        Ok(())
    }
}

/// How much a tree counts: the square of the least error over its own.
fn weight(least: f64, error: f64) -> f64 {
    let least = if least > ERROR_MIN { least } else { ERROR_MIN };
    let error = if error > ERROR_MIN { error } else { ERROR_MIN };
    let part = least / error;
    part * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Generator;
    use crate::tree;
    use crate::usual::Range;

    fn params(memory_max: usize) -> Params {
        let tree = tree::Params { grace_period: 50.0, delta: 0.1, tau: 0.4, depth_max: None, leaf_weight_max: 1e5 };
        Params { trees: 3, tree, cuts: 0, weight_mean: 6.0, drift_confidence: 0.05, warning_confidence: 0.3, memory_max, seed: 5 }
    }

    /// 12 numbers and a category.
    fn forest(memory_max: usize) -> ForestRegressor {
        let mut forest = ForestRegressor::new(&params(memory_max));
        forest.features = (0..12).map(|_| Feature::Number(Range::new(50.0, 0.5, 0.1))).collect();
        forest.features.push(Feature::Category { ranked: vec![0, 1, 2], withheld: false });
        forest
    }

    /// The concept turns after every 1,000 events.
    fn learn(forest: &mut ForestRegressor, generator: &mut Generator, events: usize) {
        let mut said = Said::default();
        for number in 0..events {
            let mut row: Vec<f64> = (0..12).map(|_| generator.unit()).collect();
            row.push(generator.below(3) as f64);
            let missing = generator.below(60);
            row.iter_mut().skip(missing).take(1).for_each(|value| *value = f64::NAN);
            let y = if (row[0] < 0.5) == (number / 1_000 % 2 == 0) { 3.0 } else { generator.unit() };
            forest.predict(&row, &mut said);
            forest.score(&said, &row, y);
            let usual = forest.targets.usual(y);
            forest.targets.update(y);
            forest.learn(&row, usual);
        }
    }

    fn written(forest: &ForestRegressor) -> (Vec<u8>, Vec<u8>) {
        let mut to = Writer::default();
        forest.write(&mut to);
        to.block()
    }

    fn read(counts: &[u8], floats: &[u8]) -> Read<ForestRegressor> {
        let (mut forest, mut reader) = (forest(1 << 20), Reader::new(counts, floats)?);
        let mut categories = vec![0; 12];
        categories.push(3);
        forest.read(&mut reader, &categories)?;
        reader.end()?;
        forest.features.iter_mut().for_each(|feature| {
            if let Feature::Category { ranked, .. } = feature {
                *ranked = vec![0, 1, 2];
            }
        });
        Ok(forest)
    }

    #[test]
    fn trees_restart_and_a_forest_that_was_read_goes_on_as_one_that_never_stopped() {
        let mut forest = forest(1 << 20);
        learn(&mut forest, &mut Generator::new(1), 3_000);
        assert!(forest.changes >= 3 && forest.shape().1 > 10, "{} {:?}", forest.changes, forest.shape());
        let (counts, floats) = written(&forest);
        let mut other = read(&counts, &floats).unwrap();
        learn(&mut forest, &mut Generator::new(2), 1_500);
        learn(&mut other, &mut Generator::new(2), 1_500);
        assert_eq!(written(&forest), written(&other));
    }

    #[test]
    fn trees_that_reached_their_memory_are_not_split() {
        let mut forest = forest(100_000);
        learn(&mut forest, &mut Generator::new(1), 900);
        let memory = forest.memory();
        assert!(80_000 < memory && memory <= 100_000, "{memory}");
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let mut forest = forest(1 << 20);
        learn(&mut forest, &mut Generator::new(1), 1_000);
        let ((counts, floats), mut generator) = (written(&forest), Generator::new(9));
        for number in 0..600 {
            let (mut counts, mut floats) = (counts.clone(), floats.clone());
            match number % 3 {
                0 => counts.truncate(generator.below(counts.len() / 4) * 4),
                1 => floats.truncate(generator.below(floats.len() / 8) * 8),
                _ => {
                    let at = generator.below(counts.len());
                    counts[at] = generator.below(256) as u8;
                }
            }
            if let Ok(mut forest) = read(&counts, &floats) {
                learn(&mut forest, &mut generator, 40);
            }
        }
    }
}
