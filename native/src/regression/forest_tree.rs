//! A tree of a forest for numbers: see `stream_retrain/models/forest_tree.py`.

use super::forest_leaf::{watched, ForestLeaf, BINS_MAX};
use super::moments::Moments;
use crate::arithmetic::log;
use crate::block::{Read, Reader, Writer};
use crate::features::Feature;
use crate::nodes::{Nodes, Way, Weighed};
use crate::tree::{Chance, Params, Watched, LEAVES_MAX};
use crate::wood::Grows;

/// Bytes that a leaf takes, with its nodes, beside what it keeps of features.
const LEAF_BYTES: usize = 400;
/// Bytes that a leaf takes for a feature that it knows of.
const FEATURE_BYTES: usize = 8;
/// Bytes that a leaf keeps of a bin, or of a category.
const BIN_BYTES: usize = 32;

/// An event that is learned.
pub struct Event<'a> {
    pub row: &'a [f64],
    /// Its numbers in standard deviations from their means; 0 of what is none, or is missing.
    pub standard: &'a [f64],
    pub y: f64,
    /// The standard deviation of the targets.
    pub deviation: f64,
}

pub struct ForestTree {
    grace_period: f64,
    delta_log: f64,
    tau: f64,
    leaf_weight_max: f64,
    nodes: Nodes<ForestLeaf>,
    scratch: Vec<Moments>,
}

impl ForestTree {
    pub fn new(params: &Params) -> ForestTree {
        ForestTree {
            grace_period: params.grace_period,
            delta_log: log(1.0 / params.delta),
            tau: params.tau,
            leaf_weight_max: params.leaf_weight_max,
            nodes: Nodes::default(),
            scratch: vec![],
        }
    }

    /// The prediction of the event's leaf; None before anything was learned.
    pub fn predict(&self, row: &[f64], standard: &[f64]) -> Option<f64> {
        match self.nodes.is_empty() {
            true => None,
            false => Some(self.nodes.leaves[self.nodes.down(row).slot].predict(standard)),
        }
    }

    /// Learn one event, which counts `w` times; `bytes`: of a leaf.
    pub fn learn(&mut self, event: &Event, w: f64, features: &[Feature], bytes: usize, mut chance: Chance) {
        if self.nodes.is_empty() {
            self.nodes.begin(ForestLeaf::new(0, event.y, Watched::drawn(features, chance.generator, watched)));
        }
        let leaves = self.nodes.leaves.len();
        let way = self.nodes.down_to_learn(event.row, |depth| match chance.room(leaves, bytes) {
            0 => None,
            _ => Some(ForestLeaf::new(depth, event.y, Watched::drawn(features, chance.generator, watched))),
        });
        let leaf = &mut self.nodes.leaves[way.slot];
        leaf.learn(event, w, features);
        if way.detour || !leaf.active() {
            return;
        }
        let total = leaf.total();
        if total - leaf.tried_at >= self.grace_period {
            leaf.tried_at = total;
            if self.nodes.leaves.len() < LEAVES_MAX && total < self.leaf_weight_max {
                self.try_to_split(&way, total, features, bytes, &mut chance);
            } else {
                self.nodes.leaves[way.slot].deactivate();
            }
        }
    }

    #[inline(never)]
    fn try_to_split(&mut self, way: &Way, total: f64, features: &[Feature], bytes: usize, chance: &mut Chance) {
        let leaf = &self.nodes.leaves[way.slot];
        let (feature, best, second) = leaf.best_split(features, &mut self.scratch);
        if best.merit.is_nan() || best.merit <= 0.0 {
            return;
        }
        let bound = (self.delta_log / (2.0 * total)).sqrt();
        let sure = second / best.merit < 1.0 - bound || bound < self.tau;
        if sure && best.children.len() <= chance.room(self.nodes.leaves.len(), bytes) + 1 {
            let leaves = best.children.iter().map(|targets| leaf.child(targets, Watched::drawn(features, chance.generator, watched))).collect();
            self.nodes.branch(way, feature, &best.by, leaves);
        }
    }

    pub fn write(&self, to: &mut Writer) {
        self.nodes.write(to, ForestLeaf::write);
    }

    /// What `write` wrote, into a new tree. `categories`: how many each feature has.
    pub fn read(&mut self, reader: &mut Reader, features: &[Feature], categories: &[usize]) -> Read<()> {
        self.nodes.read(reader, features, categories, |reader, depth| ForestLeaf::read(reader, depth, features, categories))
    }
}

impl Grows for ForestTree {
    fn leaves(&self) -> usize {
        self.nodes.leaves.len()
    }

    fn nodes(&self) -> usize {
        self.nodes.shape().0
    }

    fn withhold(&mut self, feature: u32) {
        self.nodes.leaves.iter_mut().for_each(|leaf| leaf.withhold(feature));
    }
}

/// Bytes of a leaf, at most.
pub fn leaf_bytes(features: &[Feature]) -> usize {
    let (mut known, mut each) = (0, 0);
    for feature in features.iter().filter(|feature| !feature.withheld()) {
        known += 1;
        each += BIN_BYTES
            * match feature {
                Feature::Number(_) => BINS_MAX,
                Feature::Category { ranked, .. } => ranked.len(),
            };
    }
    let kept = (each * watched(known)).checked_div(known).unwrap_or(0);
    LEAF_BYTES + FEATURE_BYTES * features.len() + kept
}
