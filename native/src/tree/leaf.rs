//! A leaf: see `stream_retrain/models/tree_leaf.py`.
//!
//! The classes of a leaf are in the order in which they came to it, and so are its features; `cells` has a row for each of these classes, with
//! a place for each of these features.

use super::chance::Watched;
use super::observers::{Cell, Counts};
use crate::arithmetic::{exp, log};
use crate::features::{Feature, NOWHERE};
use crate::nodes::Weighed;

pub struct Leaf {
    pub depth: u32,
    /// Whether it keeps anything but the weights.
    pub active: bool,
    pub majority_right: f64,
    pub bayes_right: f64,
    pub tried_at: f64,
    pub classes: Vec<u32>,
    pub weights: Vec<f64>,
    pub met: Vec<u32>,
    /// By feature, its place in `met`.
    places: Vec<u32>,
    pub cells: Vec<Cell>,
    width: usize,
    /// By place; None of a number.
    pub counts: Vec<Option<Box<Counts>>>,
    /// None: every feature.
    pub watched: Option<Watched>,
}

impl Weighed for Leaf {
    #[inline]
    fn total(&self) -> f64 {
        self.weights.iter().fold(0.0, |total, weight| total + weight)
    }
}

impl Leaf {
    pub fn new(depth: u32) -> Leaf {
        Leaf {
            depth,
            active: true,
            majority_right: 0.0,
            bayes_right: 0.0,
            tried_at: 0.0,
            classes: vec![],
            weights: vec![],
            met: vec![],
            places: vec![],
            cells: vec![],
            width: 0,
            counts: vec![],
            watched: None,
        }
    }

    /// A leaf with the weights of a split.
    pub fn with(depth: u32, weights: &[(u32, f64)]) -> Leaf {
        let mut leaf = Leaf::new(depth);
        leaf.classes.extend(weights.iter().map(|each| each.0));
        leaf.weights.extend(weights.iter().map(|each| each.1));
        leaf.tried_at = leaf.total();
        leaf
    }

    pub fn votes_by_bayes(&self) -> bool {
        self.active && self.bayes_right >= self.majority_right
    }

    /// The part of each class.
    pub fn majority(&self, proba: &mut [f64]) {
        let scale = self.scale();
        for (&class, weight) in self.classes.iter().zip(&self.weights) {
            proba[class as usize] = weight * scale;
        }
    }

    fn scale(&self) -> f64 {
        let total = self.total();
        if total != 0.0 {
            1.0 / total
        } else {
            1.0
        }
    }

    /// The votes of naive Bayes, in the order of the classes here; none before any event.
    pub fn bayes(&self, row: &[f64], votes: &mut Vec<f64>) {
        votes.clear();
        let total = self.total();
        if total == 0.0 {
            return;
        }
        let mut highest = f64::NEG_INFINITY;
        for (class, &weight) in self.weights.iter().enumerate() {
            let mut vote = 0.0;
            if weight > 0.0 {
                vote = log(weight / total);
                let cells = &self.cells[class * self.width..][..self.met.len()];
                for ((&feature, counts), cell) in self.met.iter().zip(&self.counts).zip(cells) {
                    let value = row[feature as usize];
                    if !value.is_nan() {
                        vote += match counts {
                            None => cell.evidence(value),
                            Some(counts) => counts.evidence(value, class),
                        };
                    }
                }
            }
            votes.push(vote);
            if vote > highest {
                highest = vote;
            }
        }
        let mut raised = 0.0;
        for vote in votes.iter() {
            raised += exp(vote - highest);
        }
        let scale = highest + log(raised);
        votes.iter_mut().for_each(|vote| *vote = exp(*vote - scale));
    }

    /// Count which vote is right, then learn one event.
    pub fn learn(&mut self, row: &[f64], class: u32, w: f64, features: &[Feature], votes: &[f64]) {
        if self.active {
            let scale = self.scale();
            let most = most_probable(self.weights.iter().map(|weight| weight * scale));
            if most.is_none_or(|most| self.classes[most] == class) {
                self.majority_right += w;
            }
            if most_probable(votes.iter().copied()).is_some_and(|most| self.classes[most] == class) {
                self.bayes_right += w;
            }
        }
        let place = match self.classes.iter().position(|&each| each == class) {
            Some(place) => {
                self.weights[place] += w;
                place
            }
            None => self.add_class(class, w),
        };
        if self.active {
            self.observe(row, place, w, features);
        }
    }

    fn add_class(&mut self, class: u32, w: f64) -> usize {
        self.classes.push(class);
        self.weights.push(w);
        if self.active {
            self.cells.resize(self.classes.len() * self.width, Cell::default());
        }
        self.classes.len() - 1
    }

    fn observe(&mut self, row: &[f64], class: usize, w: f64, features: &[Feature]) {
        if self.places.len() < row.len() {
            self.places.resize(row.len(), NOWHERE);
        }
        match self.watched.take() {
            None if self.met.len() < row.len() => {
                for (feature, value) in row.iter().enumerate() {
                    if !value.is_nan() && self.places[feature] == NOWHERE {
                        self.meet(feature as u32, features[feature].is_number());
                    }
                }
            }
            None => {}
            Some(mut watched) => {
                watched.follow(features);
                if self.met.len() < watched.features.len() {
                    self.meet_of(&watched.features, row, features);
                }
                self.watched = Some(watched);
            }
        }
        for place in 0..self.met.len() {
            let value = row[self.met[place] as usize];
            if value.is_nan() {
                continue;
            }
            if let Some(counts) = &mut self.counts[place] {
                counts.update(value as usize, class, w);
                continue;
            }
            let at = class * self.width + place;
            if self.cells[at].count == 0.0 {
                let rank = self.classes_with(place);
                self.cells[at].start(value, rank);
            }
            self.cells[at].update(value, w);
        }
        let at = class * self.width;
        Cell::settle_all(&mut self.cells[at..at + self.met.len()]);
    }

    /// Make places for those of the watched features that come for the first time.
    #[inline(never)]
    fn meet_of(&mut self, watched: &[u32], row: &[f64], features: &[Feature]) {
        if self.width < watched.len() {
            self.widen(watched.len());
        }
        for &feature in watched {
            if !row[feature as usize].is_nan() && self.places[feature as usize] == NOWHERE {
                self.meet(feature, features[feature as usize].is_number());
            }
        }
    }

    /// Make a place for a feature.
    pub fn meet(&mut self, feature: u32, number: bool) {
        let at = feature as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, NOWHERE);
        }
        self.places[at] = self.met.len() as u32;
        self.met.push(feature);
        self.counts.push((!number).then(Box::default));
        if self.met.len() > self.width {
            self.widen(self.places.len().max(self.met.len()));
        }
    }

    /// Have room for so many features.
    pub fn widen(&mut self, width: usize) {
        let mut cells = vec![Cell::default(); self.classes.len() * width];
        if self.width > 0 {
            for (wide, narrow) in cells.chunks_exact_mut(width).zip(self.cells.chunks_exact(self.width)) {
                wide[..self.width].copy_from_slice(narrow);
            }
        }
        (self.cells, self.width) = (cells, width);
    }

    /// How many classes have had a value of a number.
    fn classes_with(&self, place: usize) -> u32 {
        (0..self.classes.len()).filter(|&class| self.cell(class, place).count > 0.0).count() as u32
    }

    /// Compute what follows from what was read.
    pub fn settle(&mut self) {
        Cell::settle_all(&mut self.cells);
    }

    /// The classes that have had a value of a number, in the order in which they first had.
    pub fn classes_of(&self, place: usize, found: &mut Vec<usize>) {
        found.clear();
        found.extend((0..self.classes.len()).filter(|&class| self.cell(class, place).count > 0.0));
        found.sort_by_key(|&class| self.cell(class, place).rank);
    }

    pub fn cell(&self, class: usize, place: usize) -> &Cell {
        &self.cells[class * self.width + place]
    }

    pub fn cell_mut(&mut self, class: usize, place: usize) -> &mut Cell {
        &mut self.cells[class * self.width + place]
    }

    /// Drop what is kept of the features.
    pub fn forget(&mut self) {
        self.met.clear();
        self.counts.clear();
        self.places.fill(NOWHERE);
        self.cells.fill(Cell::default());
    }

    /// Keep only the weights from now on.
    pub fn deactivate(&mut self) {
        self.forget();
        (self.cells, self.places, self.width, self.active) = (vec![], vec![], 0, false);
    }

    /// Drop what is kept of one feature.
    pub fn withhold(&mut self, feature: u32) {
        if let Some(watched) = &mut self.watched {
            watched.features.retain(|&each| each != feature);
        }
        let Some(&place) = self.places.get(feature as usize).filter(|&&place| place != NOWHERE) else {
            return;
        };
        let place = place as usize;
        self.met.remove(place);
        self.counts.remove(place);
        self.places.fill(NOWHERE);
        for (at, &each) in self.met.iter().enumerate() {
            self.places[each as usize] = at as u32;
        }
        let left = self.met.len();
        for cells in self.cells.chunks_exact_mut(self.width) {
            cells.copy_within(place + 1..left + 1, place);
            cells[left] = Cell::default();
        }
    }
}

/// The first of the highest.
fn most_probable(votes: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, vote) in votes.enumerate() {
        if best.is_none_or(|(_, most)| vote > most) {
            best = Some((place, vote));
        }
    }
    best.map(|(place, _)| place)
}
