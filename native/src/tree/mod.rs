//! `QuickTree`: see `stream_retrain/models/plain_tree.py` for the theory. Here a feature, a class and a category are numbers.

mod grow;
mod leaf;
mod observers;
mod state;

use crate::arithmetic::log;
use crate::features::Feature;
use crate::nodes::{Nodes, Weighed};
pub use grow::{LEAF_EVENTS_MAX, LEAVES_MAX};
use leaf::Leaf;

/// What all trees are made with.
pub struct Params {
    pub grace_period: f64,
    pub delta: f64,
    pub tau: f64,
    /// None: any.
    pub depth_max: Option<u32>,
}

pub struct Tree {
    pub features: Vec<Feature>,
    pub classes: usize,
    /// The classes in the order of their labels.
    pub ranked: Vec<u32>,
    grace_period: f64,
    delta_log: f64,
    tau: f64,
    depth_max: u32,
    nodes: Nodes<Leaf>,
    scratch: grow::Scratch,
    last: Last,
}

/// The votes of the last event: no part of the state.
#[derive(Default)]
struct Last {
    /// The leaf whose votes they are.
    leaf: Option<usize>,
    row: Vec<f64>,
    votes: Vec<f64>,
}

impl Last {
    fn has(&self, leaf: usize, row: &[f64]) -> bool {
        self.leaf == Some(leaf) && self.row.len() == row.len() && self.row.iter().zip(row).all(|(one, other)| one.to_bits() == other.to_bits())
    }
}

impl Tree {
    pub fn new(params: &Params) -> Tree {
        Tree {
            features: vec![],
            classes: 0,
            ranked: vec![],
            grace_period: params.grace_period,
            delta_log: log(1.0 / params.delta),
            tau: params.tau,
            depth_max: params.depth_max.unwrap_or(u32::MAX),
            nodes: Nodes::default(),
            scratch: grow::Scratch::default(),
            last: Last::default(),
        }
    }

    /// The probability of every class, in the order of their numbers.
    pub fn predict(&mut self, row: &[f64], proba: &mut Vec<f64>) {
        proba.clear();
        proba.resize(self.classes, 0.0);
        if self.nodes.is_empty() {
            return;
        }
        let slot = self.nodes.down(row);
        if self.nodes.leaves[slot].votes_by_bayes() {
            self.ask(slot, row);
            for (&class, &vote) in self.nodes.leaves[slot].classes.iter().zip(&self.last.votes) {
                proba[class as usize] = vote;
            }
        } else {
            self.nodes.leaves[slot].majority(proba);
        }
    }

    /// The event's votes of naive Bayes, in `last`; empty before any event.
    fn ask(&mut self, slot: usize, row: &[f64]) {
        if !self.last.has(slot, row) {
            self.nodes.leaves[slot].bayes(row, &self.features, &mut self.last.votes);
            self.last.leaf = Some(slot);
            self.last.row.clear();
            self.last.row.extend_from_slice(row);
        }
    }

    /// Learn one event of a class, which counts `w` times.
    pub fn learn(&mut self, row: &[f64], class: u32, w: f64) {
        let way = self.nodes.down_to_learn(row, Leaf::new);
        if self.nodes.leaves[way.slot].active {
            self.ask(way.slot, row);
        }
        let leaf = &mut self.nodes.leaves[way.slot];
        leaf.learn(row, class, w, &self.features, &self.last.votes);
        self.last.leaf = None;
        if way.detour || !leaf.active {
            return;
        }
        if leaf.depth >= self.depth_max {
            leaf.deactivate();
            return;
        }
        let total = leaf.total();
        if total - leaf.tried_at >= self.grace_period && !self.split(&way, total) {
            self.nodes.leaves[way.slot].tried_at = total;
        }
    }

    /// Forget what leaves keep of a feature that is withheld from now on.
    pub fn withhold(&mut self, feature: u32) {
        self.nodes.leaves.iter_mut().for_each(|leaf| leaf.withhold(feature));
        self.last.leaf = None;
    }

    /// Nodes, leaves and height.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.nodes.shape()
    }
}

#[cfg(test)]
mod tests;
