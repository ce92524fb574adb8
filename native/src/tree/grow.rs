//! When and how a leaf becomes a branch: see `stream_retrain/models/tree_growth.py`.

use super::chance::Watched;
use super::leaf::Leaf;
use super::observers::Counts;
use super::{Chance, Domain, Tree};
use crate::arithmetic::{log2, log2_of_two};
use crate::features::Feature;
use crate::nodes::{By, Way};

pub const LEAVES_MAX: usize = 500;
pub const LEAF_EVENTS_MAX: f64 = 20_000.0;
const PURE: f64 = 0.99;
const POINTS: u32 = 10;
const BRANCH_MIN: f64 = 0.01;

/// Classes of a leaf, by place, with a weight each.
type Weights = Vec<(usize, f64)>;

#[derive(Default)]
pub struct Scratch {
    classes: Vec<usize>,
    deviations: Vec<f64>,
    sides: [Weights; 2],
    logs: Vec<f64>,
}

struct Best {
    merit: f64,
    by: By,
    place: usize,
    children: Vec<Weights>,
}

impl Best {
    fn none() -> Best {
        Best { merit: f64::NEG_INFINITY, by: By::Nothing, place: 0, children: vec![] }
    }
}

impl Tree {
    /// Try to split a leaf; whether it is a branch now.
    #[inline(never)]
    pub(super) fn split(&mut self, domain: &Domain, way: &Way, total: f64, mut chance: Option<Chance>) -> bool {
        let leaves = self.nodes.leaves.len();
        let room = chance.as_ref().map_or(usize::MAX, |chance| chance.room(leaves, domain.leaf_bytes()));
        if leaves >= LEAVES_MAX || total >= self.leaf_weight_max || room == 0 {
            return false;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let leaf = &self.nodes.leaves[way.slot];
        let highest = leaf.weights.iter().fold(f64::NEG_INFINITY, |most, &weight| if weight > most { weight } else { most });
        let several = leaf.weights.iter().filter(|&&weight| weight != 0.0).count() >= 2;
        let found = match several {
            false => None,
            true if highest / total <= PURE => self.best_split(domain, leaf, total, &mut scratch, chance.as_mut()),
            true => Some(Best::none()),
        };
        self.scratch = scratch;
        match found {
            None => false,
            Some(Best { by: By::Nothing, .. }) => {
                self.nodes.leaves[way.slot].forget();
                false
            }
            Some(best) if best.children.len() > room.saturating_add(1) => false,
            Some(best) => {
                self.branch(domain, way, &best, chance);
                true
            }
        }
    }

    /// The best split, if it is surely the best; of equal ones the last counts.
    fn best_split(&self, domain: &Domain, leaf: &Leaf, total: f64, scratch: &mut Scratch, mut chance: Option<&mut Chance>) -> Option<Best> {
        let before = entropy(leaf.weights.iter().copied());
        let (mut best, mut second) = (Best::none(), f64::NEG_INFINITY);
        for (place, &feature) in leaf.met.iter().enumerate() {
            let found = match (&domain.features[feature as usize], &leaf.counts[place]) {
                (Feature::Category { ranked, .. }, Some(counts)) => by_category(&domain.ranked, before, leaf, place, counts, ranked, scratch),
                _ => by_number(before, leaf, place, scratch, chance.as_deref_mut()),
            };
            if found.merit >= best.merit {
                second = best.merit;
                best = found;
            } else if found.merit > second {
                second = found.merit;
            }
        }
        if leaf.met.is_empty() {
            return Some(best);
        }
        let span = log2(leaf.classes.len().max(2) as f64);
        let bound = (span * span * self.delta_log / (2.0 * total)).sqrt();
        if !(best.merit - second > bound || bound < self.tau) {
            return None;
        }
        if let By::Number(threshold) = best.by {
            find_classes(leaf, best.place, scratch);
            sides(leaf, best.place, threshold, scratch);
            best.children = scratch.sides.to_vec();
        }
        Some(best)
    }

    fn branch(&mut self, domain: &Domain, way: &Way, best: &Best, mut chance: Option<Chance>) {
        let leaf = &self.nodes.leaves[way.slot];
        let (feature, depth) = (leaf.met[best.place], leaf.depth + 1);
        let named = |weights: &Weights| weights.iter().map(|&(class, weight)| (leaf.classes[class], weight)).collect::<Vec<_>>();
        let mut leaves: Vec<Leaf> = best.children.iter().map(|weights| Leaf::with(depth, &named(weights))).collect();
        if let Some(chance) = &mut chance {
            leaves.iter_mut().for_each(|leaf| leaf.watched = Some(Watched::drawn(&domain.features, chance.generator, Domain::watched)));
        }
        self.nodes.branch(way, feature, &best.by, leaves);
    }
}

/// A branch for each value, or for one value and one for the rest: what gains most.
fn by_category(by_rank: &[u32], before: f64, leaf: &Leaf, place: usize, counts: &Counts, ranked: &[u32], scratch: &mut Scratch) -> Best {
    let classes = 0..leaf.classes.len();
    let values: Vec<u32> = ranked.iter().copied().filter(|&value| classes.clone().any(|class| counts.weight(value as usize, class) > 0.0)).collect();
    let mut by_label: Vec<usize> = vec![];
    for &label in by_rank {
        by_label.extend(leaf.classes.iter().position(|&class| class == label));
    }
    let children: Vec<Weights> = values
        .iter()
        .map(|&value| by_label.iter().map(|&class| (class, counts.weight(value as usize, class))).filter(|each| each.1 > 0.0).collect())
        .collect();
    let merit = before - entropy_after(&children, &mut scratch.logs);
    let mut best = Best { merit, by: By::Each(values.clone()), place, children };
    for value in values {
        let children = apart(counts, value as usize, leaf.classes.len());
        let merit = before - entropy_after(&children, &mut scratch.logs);
        if merit > best.merit {
            best = Best { merit, by: By::One(value), place, children };
        }
    }
    if best.merit > f64::NEG_INFINITY {
        best
    } else {
        Best::none()
    }
}

/// The best of ten thresholds, or of some that are drawn; its children are made later.
fn by_number(before: f64, leaf: &Leaf, place: usize, scratch: &mut Scratch, mut chance: Option<&mut Chance>) -> Best {
    find_classes(leaf, place, scratch);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for &class in &scratch.classes {
        let cell = leaf.cell(class, place);
        low = if cell.low < low { cell.low } else { low };
        high = if cell.high > high { cell.high } else { high };
    }
    let size = (high - low) / (f64::from(POINTS) + 1.0);
    let mut best = Best::none();
    for number in 1..=chance.as_ref().map_or(POINTS, |chance| chance.cuts) {
        let threshold = match &mut chance {
            Some(chance) => chance.threshold(low, high),
            None => low + size * f64::from(number),
        };
        if low < threshold && threshold < high {
            sides(leaf, place, threshold, scratch);
            let merit = before - entropy_after(&scratch.sides, &mut scratch.logs);
            if merit > best.merit {
                best = Best { merit, by: By::Number(threshold), place, children: vec![] };
            }
        }
    }
    best
}

/// Of a number: its classes in a leaf in the order in which they first had a value, and the deviation of each.
fn find_classes(leaf: &Leaf, place: usize, scratch: &mut Scratch) {
    leaf.classes_of(place, &mut scratch.classes);
    scratch.deviations.clear();
    scratch.deviations.extend(scratch.classes.iter().map(|&class| leaf.cell(class, place).deviation()));
}

/// The weights of the classes on both sides of a threshold.
fn sides(leaf: &Leaf, place: usize, threshold: f64, scratch: &mut Scratch) {
    let [left, right] = &mut scratch.sides;
    left.clear();
    right.clear();
    for (&class, &deviation) in scratch.classes.iter().zip(&scratch.deviations) {
        let cell = leaf.cell(class, place);
        if threshold < cell.low {
            right.push((class, cell.count));
        } else if threshold >= cell.high {
            left.push((class, cell.count));
        } else {
            let below = cell.below(threshold, deviation);
            left.push((class, below));
            right.push((class, cell.count - below));
        }
    }
}

/// The weights of one category, and of the rest.
fn apart(counts: &Counts, category: usize, classes: usize) -> Vec<Weights> {
    let (mut this, mut rest) = (vec![], vec![]);
    for class in 0..classes {
        let total = counts.totals.get(class).copied().unwrap_or(0.0);
        if total == 0.0 {
            continue;
        }
        let weight = counts.weight(category, class);
        if weight == 0.0 {
            rest.push((class, total));
            continue;
        }
        this.push((class, weight));
        if counts.weights[class].iter().filter(|&&weight| weight > 0.0).count() > 1 {
            rest.push((class, total - weight));
        }
    }
    vec![this, rest]
}

/// Of the classes, in bits.
fn entropy(weights: impl Iterator<Item = f64>) -> f64 {
    let (mut bits, mut total) = (0.0, 0.0);
    for weight in weights.filter(|&weight| weight > 0.0) {
        bits -= weight * log2(weight);
        total += weight;
    }
    if total > 0.0 {
        (bits + total * log2(total)) / total
    } else {
        0.0
    }
}

/// The mean entropy of branches; infinite unless two of them have enough weight. `logs` is scratch.
fn entropy_after(children: &[Weights], logs: &mut Vec<f64>) -> f64 {
    let weigh = |weights: &Weights| weights.iter().fold(0.0, |total, each| total + each.1);
    let everything = children.iter().fold(0.0, |total, weights| total + weigh(weights));
    let enough = children.iter().filter(|weights| everything > 0.0 && weigh(weights) / everything > BRANCH_MIN).count();
    if enough < 2 {
        return f64::INFINITY;
    }
    logs.clear();
    for weights in children {
        let first = logs.len();
        logs.extend(weights.iter().map(|each| each.1).filter(|&weight| weight > 0.0));
        let total = logs[first..].iter().fold(0.0, |total, weight| total + weight);
        logs.push(if total > 0.0 { total } else { 1.0 });
    }
    take_logs(logs);
    let (mut bits, mut logs) = (0.0, logs.iter());
    for weights in children {
        bits += weigh(weights) * entropy_by(weights, &mut logs);
    }
    bits / everything
}

/// The logarithm of each to the base of 2.
fn take_logs(numbers: &mut [f64]) {
    let mut pairs = numbers.chunks_exact_mut(2);
    for pair in &mut pairs {
        pair.copy_from_slice(&log2_of_two([pair[0], pair[1]]));
    }
    pairs.into_remainder().iter_mut().for_each(|number| *number = log2(*number));
}

/// The same as `entropy`, with the logarithms of the weights above 0, and of their sum.
fn entropy_by<'a>(weights: &Weights, logs: &mut impl Iterator<Item = &'a f64>) -> f64 {
    let (mut bits, mut total) = (0.0, 0.0);
    for (&(_, weight), log) in weights.iter().filter(|each| each.1 > 0.0).zip(&mut *logs) {
        bits -= weight * log;
        total += weight;
    }
    let log = logs.next().copied().unwrap_or(0.0);
    if total > 0.0 {
        (bits + total * log) / total
    } else {
        0.0
    }
}
