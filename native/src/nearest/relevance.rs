//! How much each feature tells of what is learned: see `stream_retrain/models/relevance.py`.

use crate::block::{Damaged, Read, Reader, Writer};

/// Later classes, and later categories of a feature, share one row or slot.
pub const APART_MAX: usize = 16;
pub const RANKED_EVERY: u64 = 100;
const GROWTH: f64 = 1.0 / 0.999;
const GAIN_MAX: f64 = 2.0;

/// What is learned of an event: rows, and how much it counts in each.
pub type Taught<'a> = &'a [(usize, f64)];

#[derive(Clone, Copy, PartialEq)]
pub enum Task {
    /// A row is a class.
    Classes,
    /// The first row is of targets, the second one of events.
    Numbers,
}

pub struct Relevance {
    task: Task,
    pub slots: usize,
    gain: f64,
    totals: Vec<f64>,
    /// By row and slot.
    sums: Vec<Vec<f64>>,
}

impl Relevance {
    pub fn new(task: Task) -> Relevance {
        Relevance { task, slots: 0, gain: 1.0, totals: vec![], sums: vec![] }
    }

    /// More slots; the first of them.
    pub fn add_slots(&mut self, count: usize) -> u32 {
        let first = self.slots;
        self.slots += count;
        self.sums.iter_mut().for_each(|row| row.resize(first + count, 0.0));
        first as u32
    }

    /// Begin an event that is learned; its values follow, then `end`.
    pub fn begin(&mut self, taught: Taught) {
        for &(row, amount) in taught {
            while self.totals.len() <= row {
                self.totals.push(0.0);
                self.sums.push(vec![0.0; self.slots]);
            }
            self.totals[row] += self.gain * amount;
        }
    }

    /// A value of the event.
    #[inline]
    pub fn add(&mut self, slot: u32, value: f64, taught: Taught) {
        for &(row, amount) in taught {
            self.sums[row][slot as usize] += self.gain * amount * value;
        }
    }

    /// Later events count more, which is as if all earlier ones counted less.
    pub fn end(&mut self) {
        self.gain *= GROWTH;
    }

    /// The latest event counts 1 again.
    pub fn settle(&mut self) {
        let gain = std::mem::replace(&mut self.gain, 1.0);
        self.totals.iter_mut().chain(self.sums.iter_mut().flatten()).for_each(|sum| *sum /= gain);
    }

    fn mass(&self) -> f64 {
        match self.task {
            Task::Classes => self.totals.iter().fold(0.0, |mass, total| mass + total),
            Task::Numbers => self.totals[1],
        }
    }

    /// Of a slot: the variance between the means of the classes, or the squared covariance with the target.
    fn explained(&self, slot: usize, mass: f64) -> f64 {
        if self.task == Task::Numbers {
            let (mean, target) = (self.sums[1][slot] / mass, self.totals[0] / mass);
            let covariance = self.sums[0][slot] / mass - mean * target;
            return covariance * covariance;
        }
        let (mut squares, mut sum) = (0.0, 0.0);
        for (row, &total) in self.sums.iter().zip(&self.totals) {
            if total > 0.0 {
                squares += row[slot] * row[slot] / total;
                sum += row[slot];
            }
        }
        (squares - sum * sum / mass) / mass
    }

    /// How many of the events are in a slot of a category.
    fn share(&self, slot: usize, mass: f64) -> f64 {
        match self.task {
            Task::Classes => self.sums.iter().fold(0.0, |sum, row| sum + row[slot]) / mass,
            Task::Numbers => self.sums[1][slot] / mass,
        }
    }

    pub fn of_number(&self, slot: u32) -> f64 {
        positive(self.explained(slot as usize, self.mass()))
    }

    pub fn of_categories(&self, base: u32) -> f64 {
        let (mut explained, mut variance) = (0.0, 0.0);
        let mass = self.mass();
        for slot in base as usize..=base as usize + APART_MAX {
            let share = self.share(slot, mass);
            explained += self.explained(slot, mass);
            variance += share - share * share;
        }
        if variance > 0.0 {
            positive(explained / variance)
        } else {
            0.0
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.totals.len());
        to.number(self.gain);
        to.row(&self.totals);
        self.sums.iter().for_each(|row| to.row(row));
    }

    /// What `write` wrote, by the number of slots.
    pub fn read(&mut self, reader: &mut Reader, slots: usize) -> Read<()> {
        let rows = reader.below(APART_MAX + 2)?;
        self.gain = reader.number()?;
        if !(1.0 <= self.gain && self.gain < GAIN_MAX) || (self.task == Task::Numbers && rows != 0 && rows != 2) {
            return Err(Damaged);
        }
        self.slots = slots;
        self.totals = reader.row(rows)?;
        self.sums = (0..rows).map(|_| reader.row(slots)).collect::<Read<_>>()?;
        Ok(())
    }
}

fn positive(value: f64) -> f64 {
    if value > 0.0 {
        value
    } else {
        0.0
    }
}
