//! When and how a leaf becomes a branch: see `stream_retrain/models/plain_tree.py`.

use super::leaf::Leaf;
use super::observers::Counts;
use super::Tree;
use crate::arithmetic::log2;
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
    sides: [Weights; 2],
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
    pub(super) fn split(&mut self, way: &Way, total: f64) -> bool {
        if self.nodes.leaves.len() >= LEAVES_MAX || total >= LEAF_EVENTS_MAX {
            return false;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let leaf = &self.nodes.leaves[way.slot];
        let highest = leaf.weights.iter().fold(f64::NEG_INFINITY, |most, &weight| if weight > most { weight } else { most });
        let several = leaf.weights.iter().filter(|&&weight| weight != 0.0).count() >= 2;
        let found = match several {
            false => None,
            true if highest / total <= PURE => self.best_split(leaf, total, &mut scratch),
            true => Some(Best::none()),
        };
        self.scratch = scratch;
        match found {
            None => false,
            Some(Best { by: By::Nothing, .. }) => {
                self.nodes.leaves[way.slot].forget();
                false
            }
            Some(best) => {
                self.branch(way, &best);
                true
            }
        }
    }

    /// The best split, if it is surely the best; of equal ones the last counts.
    fn best_split(&self, leaf: &Leaf, total: f64, scratch: &mut Scratch) -> Option<Best> {
        let before = entropy(leaf.weights.iter().copied());
        let (mut best, mut second) = (Best::none(), f64::NEG_INFINITY);
        for (place, &feature) in leaf.met.iter().enumerate() {
            let found = match (&self.features[feature as usize], &leaf.counts[place]) {
                (Feature::Category { ranked, .. }, Some(counts)) => self.by_category(before, leaf, place, counts, ranked),
                _ => by_number(before, leaf, place, scratch),
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
            sides(leaf, best.place, threshold, scratch);
            best.children = scratch.sides.to_vec();
        }
        Some(best)
    }

    /// A branch for each value, or for one value and one for the rest: what gains most.
    fn by_category(&self, before: f64, leaf: &Leaf, place: usize, counts: &Counts, ranked: &[u32]) -> Best {
        let classes = 0..leaf.classes.len();
        let values: Vec<u32> =
            ranked.iter().copied().filter(|&value| classes.clone().any(|class| counts.weight(value as usize, class) > 0.0)).collect();
        let mut by_label: Vec<usize> = vec![];
        for &label in &self.ranked {
            by_label.extend(leaf.classes.iter().position(|&class| class == label));
        }
        let children: Vec<Weights> = values
            .iter()
            .map(|&value| by_label.iter().map(|&class| (class, counts.weight(value as usize, class))).filter(|each| each.1 > 0.0).collect())
            .collect();
        let merit = before - entropy_after(&children);
        let mut best = Best { merit, by: By::Each(values.clone()), place, children };
        for value in values {
            let children = apart(counts, value as usize, leaf.classes.len());
            let merit = before - entropy_after(&children);
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

    fn branch(&mut self, way: &Way, best: &Best) {
        let leaf = &self.nodes.leaves[way.slot];
        let (feature, depth) = (leaf.met[best.place], leaf.depth + 1);
        let named = |weights: &Weights| weights.iter().map(|&(class, weight)| (leaf.classes[class], weight)).collect::<Vec<_>>();
        let leaves = best.children.iter().map(|weights| Leaf::with(depth, &named(weights))).collect();
        self.nodes.branch(way, feature, &best.by, leaves);
    }
}

/// The best of ten thresholds; its children are made later.
fn by_number(before: f64, leaf: &Leaf, place: usize, scratch: &mut Scratch) -> Best {
    leaf.classes_of(place, &mut scratch.classes);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for &class in &scratch.classes {
        let cell = leaf.cell(class, place);
        low = if cell.low < low { cell.low } else { low };
        high = if cell.high > high { cell.high } else { high };
    }
    let size = (high - low) / (f64::from(POINTS) + 1.0);
    let mut best = Best::none();
    for number in 1..=POINTS {
        let threshold = low + size * f64::from(number);
        if low < threshold && threshold < high {
            sides(leaf, place, threshold, scratch);
            let merit = before - entropy_after(&scratch.sides);
            if merit > best.merit {
                best = Best { merit, by: By::Number(threshold), place, children: vec![] };
            }
        }
    }
    best
}

/// The weights of the classes on both sides of a threshold.
fn sides(leaf: &Leaf, place: usize, threshold: f64, scratch: &mut Scratch) {
    leaf.classes_of(place, &mut scratch.classes);
    let [left, right] = &mut scratch.sides;
    left.clear();
    right.clear();
    for &class in &scratch.classes {
        let cell = leaf.cell(class, place);
        if threshold < cell.low {
            right.push((class, cell.count));
        } else if threshold >= cell.high {
            left.push((class, cell.count));
        } else {
            let below = cell.below(threshold);
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

/// The mean entropy of branches; infinite unless two of them have enough weight.
fn entropy_after(children: &[Weights]) -> f64 {
    let weigh = |weights: &Weights| weights.iter().fold(0.0, |total, each| total + each.1);
    let everything = children.iter().fold(0.0, |total, weights| total + weigh(weights));
    let enough = children.iter().filter(|weights| everything > 0.0 && weigh(weights) / everything > BRANCH_MIN).count();
    if enough < 2 {
        return f64::INFINITY;
    }
    let mut bits = 0.0;
    for weights in children {
        bits += weigh(weights) * entropy(weights.iter().map(|each| each.1));
    }
    bits / everything
}
