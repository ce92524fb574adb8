//! The trees of a forest, and what watches each: see `stream_retrain/models/wood.py`.

use crate::block::{Damaged, Read, Reader, Writer};
use crate::detector::Hddma;
use crate::forest::Params;
use crate::generator::Generator;
use crate::poisson::Poisson;
use crate::tree::Chance;

/// A tree of a forest.
pub trait Grows {
    fn leaves(&self) -> usize;
    fn nodes(&self) -> usize;
    /// Forget what leaves keep of a feature that is withheld from now on.
    fn withhold(&mut self, feature: u32);
}

pub struct Wood<T> {
    pub tree: T,
    /// It takes the tree's place if the warning becomes a drift.
    pub successor: Option<T>,
    detector: Hddma,
    pub generator: Generator,
    /// The error lately.
    pub error: f64,
    /// How often trees of the forest had been replaced when this one began.
    pub since: u64,
}

impl<T> Wood<T> {
    fn new(tree: T, generator: Generator, params: &Params, error: f64) -> Wood<T> {
        let detector = Hddma::new(params.drift_confidence, params.warning_confidence);
        Wood { tree, successor: None, detector, generator, error, since: 0 }
    }

    /// Pass an error to the detector, which may replace the tree; whether a successor is wanted.
    pub fn watch(&mut self, error: f64, changes: &mut u64, new_tree: impl FnOnce() -> T) -> bool {
        if self.detector.update(error) {
            self.detector.reset();
            self.tree = self.successor.take().unwrap_or_else(new_tree);
            *changes += 1;
            self.since = *changes;
            return false;
        }
        if !self.detector.warning {
            self.successor = None;
        }
        self.detector.warning && self.successor.is_none()
    }

    /// The tree, and its successor where there is one.
    fn trees(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.tree).chain(&self.successor)
    }

    fn trees_mut(&mut self) -> impl Iterator<Item = &mut T> {
        std::iter::once(&mut self.tree).chain(&mut self.successor)
    }

    pub fn write(&self, to: &mut Writer, write_tree: impl Fn(&T, &mut Writer)) {
        self.generator.write(to);
        to.count(self.since as usize);
        self.detector.write(to);
        to.number(self.error);
        write_tree(&self.tree, to);
        to.count(usize::from(self.successor.is_some()));
        self.successor.iter().for_each(|tree| write_tree(tree, to));
    }

    /// What `write` wrote, of a forest with so many changes, where an error is at most so much.
    pub fn read(&mut self, reader: &mut Reader, changes: u64, error_max: f64, read_tree: impl Fn(&mut Reader) -> Read<T>) -> Read<()> {
        self.generator = Generator::read(reader)?;
        self.since = reader.count()? as u64;
        self.detector.read(reader)?;
        self.error = reader.number()?;
        if self.since > changes || !(0.0..=error_max).contains(&self.error) {
            return Err(Damaged);
        }
        self.tree = read_tree(reader)?;
        if reader.flag()? {
            self.successor = Some(read_tree(reader)?);
        }
        Ok(())
    }
}

/// The untrained trees of a forest, each with a generator of its own.
pub fn woods<T>(params: &Params, error: f64, new_tree: impl Fn() -> T) -> Vec<Wood<T>> {
    let mut seeds = Generator::new(params.seed);
    (0..params.trees).map(|_| Wood::new(new_tree(), Generator::new(seeds.next() >> 1), params, error)).collect()
}

/// Leaves of all trees and successors.
pub fn leaves<T: Grows>(woods: &[Wood<T>]) -> usize {
    woods.iter().flat_map(Wood::trees).fold(0, |leaves, tree| leaves + tree.leaves())
}

/// Nodes and leaves of all trees and successors, and how many successors there are.
pub fn shape<T: Grows>(woods: &[Wood<T>]) -> (usize, usize, usize) {
    let nodes = woods.iter().flat_map(Wood::trees).fold(0, |nodes, tree| nodes + tree.nodes());
    (nodes, leaves(woods), woods.iter().filter(|wood| wood.successor.is_some()).count())
}

/// Forget what leaves keep of a feature that is withheld from now on.
pub fn withhold<T: Grows>(woods: &mut [Wood<T>], feature: u32) {
    woods.iter_mut().flat_map(Wood::trees_mut).for_each(|tree| tree.withhold(feature));
}

/// Let every tree and successor learn an event, with the weight that its wood draws; none with a weight of 0.
pub fn learn<T: Grows>(woods: &mut [Wood<T>], params: &Params, poisson: &Poisson, learn_one: impl Fn(&mut T, f64, Chance)) {
    let mut all = leaves(woods);
    for wood in woods {
        let weight = poisson.draw(&mut wood.generator);
        if weight == 0.0 {
            continue;
        }
        for tree in std::iter::once(&mut wood.tree).chain(wood.successor.as_mut()) {
            let others = all - tree.leaves();
            learn_one(tree, weight, Chance { generator: &mut wood.generator, cuts: params.cuts, memory_max: params.memory_max, others });
            all = others + tree.leaves();
        }
    }
}
