//! One tree of a forest, and what watches it: see `stream_retrain/models/wood.py`.

use crate::block::{Damaged, Read, Reader, Writer};
use crate::detector::Hddma;
use crate::generator::Generator;

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
    pub fn new(tree: T, generator: Generator, drift_confidence: f64, warning_confidence: f64, error: f64) -> Wood<T> {
        Wood { tree, successor: None, detector: Hddma::new(drift_confidence, warning_confidence), generator, error, since: 0 }
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
    pub fn trees(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.tree).chain(&self.successor)
    }

    pub fn trees_mut(&mut self) -> impl Iterator<Item = &mut T> {
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
