//! `RestartingForest`: see `stream_retrain/models/plain_forest.py` for the theory.

use crate::block::{Read, Reader, Writer};
use crate::poisson::Poisson;
use crate::tree::{self, Domain, Tree};
use crate::wood::{self, Wood};

/// A tree's error rate lately falls by this part with each event.
const DECAY: f64 = 0.995;
const ERROR_AT_FIRST: f64 = 0.5;
/// The accuracy of a tree counts as at least this.
const ACCURACY_MIN: f64 = 0.01;

#[derive(Clone)]
pub struct Params {
    pub trees: usize,
    pub tree: tree::Params,
    pub cuts: u32,
    pub weight_mean: f64,
    pub drift_confidence: f64,
    pub warning_confidence: f64,
    pub memory_max: usize,
    pub seed: u64,
}

/// The most probable class of each tree, None where it has none.
#[derive(Clone, Default)]
pub struct Said {
    /// How often trees had been replaced before.
    pub changes: u64,
    pub classes: Vec<Option<u32>>,
}

pub struct Forest {
    pub changes: u64,
    params: Params,
    poisson: Poisson,
    woods: Vec<Wood<Tree>>,
    votes: Vec<f64>,
}

impl Forest {
    pub fn new(params: &Params) -> Forest {
        let woods = wood::woods(params, ERROR_AT_FIRST, || Tree::new(&params.tree));
        Forest { changes: 0, woods, params: params.clone(), poisson: Poisson::new(params.weight_mean), votes: vec![] }
    }

    /// The probability of every class, in the order of their numbers, and what each tree says.
    pub fn predict(&mut self, domain: &Domain, row: &[f64], proba: &mut Vec<f64>, said: &mut Said) {
        proba.clear();
        proba.resize(domain.classes, 0.0);
        said.changes = self.changes;
        said.classes.clear();
        let mut total = 0.0;
        for wood in &mut self.woods {
            wood.tree.predict(domain, row, &mut self.votes);
            let class = most_probable(&self.votes);
            said.classes.push(class);
            if class.is_some() {
                let weight = weight(wood.error);
                total += weight;
                proba.iter_mut().zip(&self.votes).for_each(|(sum, vote)| *sum += weight * vote);
            }
        }
        if total > 0.0 {
            proba.iter_mut().for_each(|sum| *sum /= total);
        }
    }

    /// Whether there is a tree of which it is not known what it said; it is asked when the event is scored.
    pub fn must_ask(&self, said: &Said) -> bool {
        (0..self.woods.len()).any(|number| self.known(number, said).is_none())
    }

    /// What a tree said; None where it said nothing, or another one stood in its place.
    fn known(&self, number: usize, said: &Said) -> Option<u32> {
        said.classes.get(number).copied().flatten().filter(|_| said.changes >= self.woods[number].since)
    }

    /// Score what was said of an event before it is learned. The class is None for a new one; the row is needed where a tree must be asked.
    pub fn score(&mut self, domain: &Domain, said: &Said, class: Option<u32>, row: &[f64]) {
        for number in 0..self.woods.len() {
            let label = self.known(number, said).or_else(|| {
                self.woods[number].tree.predict(domain, row, &mut self.votes);
                most_probable(&self.votes)
            });
            if label.is_some() {
                self.watch(number, domain, f64::from(u8::from(label != class)));
            }
        }
    }

    /// Pass an error to a tree's detector.
    fn watch(&mut self, number: usize, domain: &Domain, error: f64) {
        let wood = &mut self.woods[number];
        wood.error = DECAY * wood.error + (1.0 - DECAY) * error;
        let wanted = wood.watch(error, &mut self.changes, || Tree::new(&self.params.tree));
        if wanted && wood::leaves(&self.woods) < self.params.memory_max / domain.leaf_bytes() {
            self.woods[number].successor = Some(Tree::new(&self.params.tree));
        }
    }

    /// Bytes of all trees and successors, as they are estimated.
    pub fn memory(&self, domain: &Domain) -> usize {
        wood::leaves(&self.woods) * domain.leaf_bytes()
    }

    /// Learn one event of a class.
    pub fn learn(&mut self, domain: &Domain, row: &[f64], class: u32) {
        wood::learn(&mut self.woods, &self.params, &self.poisson, |tree, weight, chance| tree.learn(domain, row, class, weight, Some(chance)));
    }

    pub fn withhold(&mut self, feature: u32) {
        wood::withhold(&mut self.woods, feature);
    }

    pub fn shape(&self) -> (usize, usize, usize) {
        wood::shape(&self.woods)
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.changes as usize);
        self.woods.iter().for_each(|wood| wood.write(to, Tree::write));
    }

    /// What `write` wrote, into a new forest. `categories`: how many each feature has.
    pub fn read(&mut self, reader: &mut Reader, domain: &Domain, categories: &[usize]) -> Read<()> {
        self.changes = reader.count()? as u64;
        for wood in &mut self.woods {
            wood.read(reader, self.changes, 1.0, |reader| {
                let mut tree = Tree::new(&self.params.tree);
                tree.read(reader, domain, categories, true).map(|()| tree)
            })?;
        }
        Ok(())
    }
}

/// How much a tree counts: the eighth power of its accuracy lately.
fn weight(error: f64) -> f64 {
    let accuracy = if 1.0 - error > ACCURACY_MIN { 1.0 - error } else { ACCURACY_MIN };
    let second = accuracy * accuracy;
    let fourth = second * second;
    fourth * fourth
}

/// The first of the most probable classes; None where no class is probable.
fn most_probable(votes: &[f64]) -> Option<u32> {
    let (mut best, mut most) = (None, 0.0);
    for (class, &vote) in votes.iter().enumerate() {
        if vote > most {
            (best, most) = (Some(class as u32), vote);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Feature;
    use crate::generator::Generator;
    use crate::usual::Range;

    fn params(memory_max: usize) -> Params {
        let tree = tree::Params { grace_period: 50.0, delta: 0.1, tau: 0.2, depth_max: None, leaf_weight_max: 1e5 };
        Params { trees: 3, tree, cuts: 3, weight_mean: 6.0, drift_confidence: 0.05, warning_confidence: 0.3, memory_max, seed: 5 }
    }

    /// 20 numbers and a category, and two classes.
    fn domain() -> Domain {
        let mut features: Vec<Feature> = (0..20).map(|_| Feature::Number(Range::new(0.0, 0.0, 0.0))).collect();
        features.push(Feature::Category { ranked: vec![0, 1, 2], withheld: false });
        Domain { features, classes: 2, ranked: vec![0, 1] }
    }

    fn row(generator: &mut Generator) -> Vec<f64> {
        let mut row: Vec<f64> = (0..20).map(|_| generator.unit()).collect();
        row.push(generator.below(3) as f64);
        let missing = generator.below(60);
        row.iter_mut().skip(missing).take(1).for_each(|value| *value = f64::NAN);
        row
    }

    /// The concept turns after every 1,000 events.
    fn learn(forest: &mut Forest, generator: &mut Generator, events: usize) {
        let (domain, mut proba, mut said) = (domain(), vec![], Said::default());
        for number in 0..events {
            let row = row(generator);
            let class = u32::from((row[0] + row[1] < 1.0) == (number / 1_000 % 2 == 0));
            forest.predict(&domain, &row, &mut proba, &mut said);
            forest.score(&domain, &said, Some(class), &row);
            forest.learn(&domain, &row, class);
        }
    }

    fn written(forest: &Forest) -> (Vec<u8>, Vec<u8>) {
        let mut to = Writer::default();
        forest.write(&mut to);
        to.block()
    }

    fn read(counts: &[u8], floats: &[u8]) -> Read<Forest> {
        let (mut forest, mut reader) = (Forest::new(&params(1 << 20)), Reader::new(counts, floats)?);
        let mut categories = vec![0; 20];
        categories.push(3);
        forest.read(&mut reader, &domain(), &categories)?;
        reader.end()?;
        Ok(forest)
    }

    #[test]
    fn trees_restart_and_a_forest_that_was_read_goes_on_as_one_that_never_stopped() {
        let mut forest = Forest::new(&params(1 << 20));
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
        let mut forest = Forest::new(&params(60_000));
        learn(&mut forest, &mut Generator::new(1), 4_000);
        let memory = forest.memory(&domain());
        assert!(50_000 < memory && memory <= 60_000, "{memory}");
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let mut forest = Forest::new(&params(1 << 20));
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
