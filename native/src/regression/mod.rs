//! `QuickTreeRegressor`: see `stream_retrain/models/plain_tree_regressor.py` for the theory. Here a feature and a category are numbers.

mod bins;
mod forest_leaf;
mod forest_tree;
mod leaf;
mod moments;

use crate::arithmetic::log;
use crate::block::{Read, Reader, Writer};
use crate::features::Feature;
use crate::nodes::{Nodes, Way, Weighed};
use crate::tree::{Params, LEAF_EVENTS_MAX, LEAVES_MAX};
pub use forest_tree::{leaf_bytes, Event, ForestTree};
use leaf::TargetLeaf;
use moments::Moments;

pub struct TreeRegressor {
    pub features: Vec<Feature>,
    grace_period: f64,
    delta_log: f64,
    tau: f64,
    depth_max: u32,
    nodes: Nodes<TargetLeaf>,
    scratch: Vec<Moments>,
}

impl TreeRegressor {
    pub fn new(params: &Params) -> TreeRegressor {
        TreeRegressor {
            features: vec![],
            grace_period: params.grace_period,
            delta_log: log(1.0 / params.delta),
            tau: params.tau,
            depth_max: params.depth_max.unwrap_or(u32::MAX),
            nodes: Nodes::default(),
            scratch: vec![],
        }
    }

    /// The prediction of the event's leaf; 0 before anything was learned.
    pub fn predict(&self, row: &[f64]) -> f64 {
        match self.nodes.is_empty() {
            true => 0.0,
            false => self.nodes.leaves[self.nodes.down(row).slot].predict(row),
        }
    }

    /// Learn one event, which counts `w` times.
    pub fn learn(&mut self, row: &[f64], y: f64, w: f64) {
        if self.nodes.is_empty() {
            self.nodes.begin(TargetLeaf::new(0));
        }
        let way = self.nodes.down_to_learn(row, |depth| Some(TargetLeaf::new(depth)));
        let leaf = &mut self.nodes.leaves[way.slot];
        leaf.learn(row, y, w, &self.features);
        if way.detour || !leaf.active() {
            return;
        }
        if leaf.depth >= self.depth_max {
            leaf.deactivate();
            return;
        }
        let total = leaf.total();
        if total - leaf.tried_at >= self.grace_period {
            leaf.tried_at = total;
            if self.nodes.leaves.len() < LEAVES_MAX && total < LEAF_EVENTS_MAX {
                self.try_to_split(&way, total);
            } else {
                self.nodes.leaves[way.slot].deactivate();
            }
        }
    }

    #[inline(never)]
    fn try_to_split(&mut self, way: &Way, total: f64) {
        let leaf = &self.nodes.leaves[way.slot];
        let (feature, best, second) = leaf.best_split(&self.features, &mut self.scratch);
        if best.merit.is_nan() || best.merit <= 0.0 {
            return;
        }
        let bound = (self.delta_log / (2.0 * total)).sqrt();
        if second / best.merit < 1.0 - bound || bound < self.tau {
            let leaves = best.children.iter().map(|targets| leaf.child(targets)).collect();
            self.nodes.branch(way, feature, &best.by, leaves);
        }
    }

    /// Forget what leaves keep of a feature that is withheld from now on.
    pub fn withhold(&mut self, feature: u32) {
        self.nodes.leaves.iter_mut().for_each(|leaf| leaf.withhold(feature));
    }

    /// Nodes, leaves and height.
    pub fn shape(&self) -> (usize, usize, usize) {
        self.nodes.shape()
    }

    pub fn write(&self, to: &mut Writer) {
        self.features.iter().for_each(|feature| feature.write(to));
        self.nodes.write(to, TargetLeaf::write);
    }

    /// What `write` wrote, into a new tree. `categories`: how many each feature has.
    pub fn read(&mut self, reader: &mut Reader, categories: &[usize]) -> Read<()> {
        for _ in categories {
            self.features.push(Feature::read(reader)?);
        }
        let features = &self.features;
        self.nodes.read(reader, features, categories, |reader, depth| TargetLeaf::read(reader, depth, features, categories))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usual::Range;

    fn grown(events: u32) -> TreeRegressor {
        let mut tree = TreeRegressor::new(&Params { grace_period: 50.0, delta: 1e-3, tau: 0.2, depth_max: None, leaf_weight_max: LEAF_EVENTS_MAX });
        tree.features = vec![Feature::Number(Range::new(0.0, 0.0, 0.0)), Feature::Category { ranked: vec![0, 1, 2], withheld: false }];
        (0..events).for_each(|number| learn(&mut tree, number));
        tree
    }

    fn learn(tree: &mut TreeRegressor, number: u32) {
        let row = [f64::from(number * 7919 % 1000) / 100.0, f64::from(number % 3)];
        tree.learn(&row, if row[0] > 5.0 { 10.0 } else { row[1] }, 1.0);
    }

    fn written(tree: &TreeRegressor) -> (Vec<u8>, Vec<u8>) {
        let mut to = Writer::default();
        tree.write(&mut to);
        to.block()
    }

    fn read(counts: &[u8], floats: &[u8]) -> Result<TreeRegressor, crate::block::Damaged> {
        let mut tree = grown(0);
        tree.features.clear();
        let mut reader = Reader::new(counts, floats)?;
        tree.read(&mut reader, &[0, 3])?;
        reader.end()?;
        if let Feature::Category { ranked, .. } = &mut tree.features[1] {
            *ranked = vec![0, 1, 2];
        }
        Ok(tree)
    }

    #[test]
    fn it_grows_and_predicts_what_it_learned() {
        let tree = grown(4000);
        assert!(tree.shape().1 > 2, "{:?}", tree.shape());
        assert!((tree.predict(&[9.0, 1.0]) - 10.0).abs() < 1.0);
    }

    #[test]
    fn a_tree_that_was_written_and_read_goes_on_as_one_that_never_stopped() {
        for events in [0, 1, 60, 2500] {
            let mut tree = grown(events);
            let (counts, floats) = written(&tree);
            let mut other = read(&counts, &floats).unwrap();
            for number in events..events + 500 {
                learn(&mut tree, number);
                learn(&mut other, number);
            }
            assert_eq!(written(&tree), written(&other));
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let (counts, floats) = written(&grown(2000));
        for number in 0..1500usize {
            let mut changed = counts.clone();
            let at = number * 7919 % changed.len();
            changed[at] = changed[at].wrapping_add(number as u8 | 1);
            let cut = if number % 2 == 0 { floats.len() } else { number * 8 % floats.len() };
            if let Ok(mut tree) = read(&changed, &floats[..cut]) {
                (0..60).for_each(|number| learn(&mut tree, number));
            }
        }
    }
}
