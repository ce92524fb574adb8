//! `QuickTree`: see `stream_retrain/models/tree_growth.py` for the theory. Here a feature, a class and a category are numbers.

mod chance;
mod domain;
mod grow;
mod leaf;
mod observers;
mod state;

use crate::arithmetic::log;
use crate::nodes::{Nodes, Way, Weighed};
use crate::wood::Grows;
pub use chance::{Chance, Watched};
pub use domain::Domain;
pub use grow::{LEAF_EVENTS_MAX, LEAVES_MAX};
use leaf::Leaf;

/// What all trees are made with.
#[derive(Clone)]
pub struct Params {
    pub grace_period: f64,
    pub delta: f64,
    pub tau: f64,
    /// None: any.
    pub depth_max: Option<u32>,
    /// A leaf of this weight is not split any more.
    pub leaf_weight_max: f64,
}

pub struct Tree {
    grace_period: f64,
    delta_log: f64,
    tau: f64,
    depth_max: u32,
    leaf_weight_max: f64,
    nodes: Nodes<Leaf>,
    scratch: grow::Scratch,
    last: Last,
}

/// The last event, while nothing was learned since: no part of the state.
#[derive(Default)]
struct Last {
    way: Option<Way>,
    row: Vec<f64>,
    /// Whether these are its votes.
    voted: bool,
    votes: Vec<f64>,
}

impl Last {
    /// The way of an event, if it is this one.
    fn way_of(&self, row: &[f64]) -> Option<Way> {
        self.way.filter(|_| self.row.len() == row.len() && self.row.iter().zip(row).all(|(one, other)| one.to_bits() == other.to_bits()))
    }

    fn set(&mut self, row: &[f64], way: Way) {
        (self.way, self.voted) = (Some(way), false);
        self.row.clear();
        self.row.extend_from_slice(row);
    }
}

impl Tree {
    pub fn new(params: &Params) -> Tree {
        Tree {
            grace_period: params.grace_period,
            delta_log: log(1.0 / params.delta),
            tau: params.tau,
            depth_max: params.depth_max.unwrap_or(u32::MAX),
            leaf_weight_max: params.leaf_weight_max,
            nodes: Nodes::default(),
            scratch: grow::Scratch::default(),
            last: Last::default(),
        }
    }

    /// The probability of every class, in the order of their numbers.
    pub fn predict(&mut self, domain: &Domain, row: &[f64], proba: &mut Vec<f64>) {
        proba.clear();
        proba.resize(domain.classes, 0.0);
        if self.nodes.is_empty() {
            return;
        }
        if self.last.way_of(row).is_none() {
            self.last.set(row, self.nodes.down(row));
        }
        let Some(Way { slot, .. }) = self.last.way else { return };
        if self.nodes.leaves[slot].votes_by_bayes() {
            self.ask(slot);
            for (&class, &vote) in self.nodes.leaves[slot].classes.iter().zip(&self.last.votes) {
                proba[class as usize] = vote;
            }
        } else {
            self.nodes.leaves[slot].majority(proba);
        }
    }

    /// The last event's votes of naive Bayes; empty before any event.
    fn ask(&mut self, slot: usize) {
        if !self.last.voted {
            self.nodes.leaves[slot].bayes(&self.last.row, &mut self.last.votes);
            self.last.voted = true;
        }
    }

    /// Learn one event of a class, which counts `w` times. `chance`: of a tree of a forest.
    pub fn learn(&mut self, domain: &Domain, row: &[f64], class: u32, w: f64, mut chance: Option<Chance>) {
        if self.nodes.is_empty() {
            self.nodes.begin(new_leaf(domain, 0, chance.as_mut()));
        }
        let way = match self.last.way_of(row).filter(|way| !way.detour) {
            Some(way) => way,
            None => {
                let leaves = self.nodes.leaves.len();
                let way = self.nodes.down_to_learn(row, |depth| match &mut chance {
                    Some(chance) if chance.room(leaves, domain.leaf_bytes()) == 0 => None,
                    chance => Some(new_leaf(domain, depth, chance.as_mut())),
                });
                self.last.set(row, way);
                way
            }
        };
        if self.nodes.leaves[way.slot].active {
            self.ask(way.slot);
        }
        let leaf = &mut self.nodes.leaves[way.slot];
        leaf.learn(row, class, w, &domain.features, &self.last.votes);
        self.last.way = None;
        if way.detour || !leaf.active {
            return;
        }
        if leaf.depth >= self.depth_max {
            leaf.deactivate();
            return;
        }
        let total = leaf.total();
        if total - leaf.tried_at >= self.grace_period && !self.split(domain, &way, total, chance) {
            self.nodes.leaves[way.slot].tried_at = total;
        }
    }

    /// Forget what leaves keep of a feature that is withheld from now on.
    pub fn withhold(&mut self, feature: u32) {
        self.nodes.leaves.iter_mut().for_each(|leaf| leaf.withhold(feature));
        self.last.way = None;
    }

    /// Nodes, leaves and height.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.nodes.shape()
    }
}

impl Grows for Tree {
    fn leaves(&self) -> usize {
        self.nodes.leaves.len()
    }

    fn nodes(&self) -> usize {
        self.shape().0
    }

    fn withhold(&mut self, feature: u32) {
        Tree::withhold(self, feature);
    }
}

fn new_leaf(domain: &Domain, depth: u32, chance: Option<&mut Chance>) -> Leaf {
    let mut leaf = Leaf::new(depth);
    leaf.watched = chance.map(|chance| Watched::drawn(&domain.features, chance.generator, Domain::watched));
    leaf
}

#[cfg(test)]
mod tests;
