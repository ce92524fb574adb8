//! A leaf of a tree of a forest for numbers: see `stream_retrain/models/forest_leaf.py`.

use super::bins::{read_moments, Bins, Categories, Split};
use super::leaf::Observer;
use super::moments::Moments;
use super::Event;
use crate::block::{Read, Reader, Writer};
use crate::features::Feature;
use crate::nodes::Weighed;
use crate::tree::Watched;

pub const BINS_MAX: usize = 32;
/// Of a new bin, in standard deviations of the feature.
const BIN_WIDTH: f64 = 0.25;
/// A value counts as at most so many bins from 0.
const FAR: f64 = 1e15;
const DECAY: f64 = 0.995;
const CHILD_WEIGHT: f64 = 20.0;
const RATE: f64 = 0.5;
const RATE_MIN: f64 = 0.05;
const EVENTS: f64 = 50.0;
/// A residual counts as at most so many standard deviations of the targets.
const RESIDUAL_MAX: f64 = 3.0;

/// Least squares by normalised gradient steps, of the standardised numbers.
#[derive(Clone, Default)]
struct Linear {
    /// By feature.
    weights: Vec<f64>,
    intercept: f64,
}

impl Linear {
    fn predict(&self, standard: &[f64]) -> f64 {
        let mut total = 0.0;
        for (weight, value) in self.weights.iter().zip(standard) {
            total += weight * value;
        }
        total + self.intercept
    }

    fn step(&mut self, standard: &[f64], size: f64) {
        if self.weights.len() < standard.len() {
            self.weights.resize(standard.len(), 0.0);
        }
        for (weight, value) in self.weights.iter_mut().zip(standard) {
            *weight += size * value;
        }
        self.intercept += size;
    }
}

pub struct ForestLeaf {
    pub depth: u32,
    pub targets: Moments,
    mean_error: f64,
    linear_error: f64,
    pub tried_at: f64,
    /// Events that it has learned, whatever they weigh.
    events: f64,
    linear: Linear,
    watched: Watched,
    /// Of each feature that it watches and has met; None where it will not be split any more.
    met: Option<Vec<Option<Observer>>>,
}

impl Weighed for ForestLeaf {
    #[inline]
    fn total(&self) -> f64 {
        self.targets.count
    }
}

impl ForestLeaf {
    /// The first leaf of a tree; its linear model begins at a target.
    pub fn new(depth: u32, intercept: f64, watched: Watched) -> ForestLeaf {
        let linear = Linear { weights: vec![], intercept };
        ForestLeaf {
            depth,
            targets: Moments::default(),
            mean_error: 0.0,
            linear_error: 0.0,
            tried_at: 0.0,
            events: 0.0,
            linear,
            watched,
            met: Some(vec![]),
        }
    }

    pub fn active(&self) -> bool {
        self.met.is_some()
    }

    pub fn predict(&self, standard: &[f64]) -> f64 {
        if self.linear_error < self.mean_error {
            self.linear.predict(standard)
        } else {
            self.targets.mean
        }
    }

    /// Learn one event, after its errors.
    pub fn learn(&mut self, event: &Event, w: f64, features: &[Feature]) {
        let residual = event.y - self.linear.predict(event.standard);
        if self.targets.count > 0.0 {
            let off = event.y - self.targets.mean;
            self.mean_error = DECAY * self.mean_error + off * off;
            self.linear_error = DECAY * self.linear_error + residual * residual;
        }
        self.targets.add(event.y, w);
        self.events += 1.0;
        let most = RESIDUAL_MAX * event.deviation;
        let residual = if residual < most { residual } else { most };
        let residual = if residual > -most { residual } else { -most };
        let mut length = 1.0;
        for value in event.standard {
            length += value * value;
        }
        let rate = RATE / (1.0 + self.events / EVENTS);
        let rate = if rate > RATE_MIN { rate } else { RATE_MIN };
        self.linear.step(event.standard, rate * residual / length);
        if let Some(met) = &mut self.met {
            self.watched.follow(features);
            met.resize_with(self.watched.features.len(), || None);
            for (&feature, observer) in self.watched.features.iter().zip(met) {
                let value = event.row[feature as usize];
                if !value.is_nan() {
                    observe(observer, &features[feature as usize], value, event.y, w);
                }
            }
        }
    }

    /// The feature and its split, and the merit of the second best; of equal ones the last counts.
    pub fn best_split(&self, features: &[Feature], scratch: &mut Vec<Moments>) -> (u32, Split, f64) {
        let (mut name, mut best, mut second) = (0, Split::none(), f64::NEG_INFINITY);
        let met = self.met.iter().flat_map(|met| self.watched.features.iter().zip(met));
        for (&feature, observer) in met {
            let split = match (observer, &features[feature as usize]) {
                (Some(Observer::Category(categories)), Feature::Category { ranked, .. }) => categories.best_split(&categories.total(), ranked),
                (Some(Observer::Number(bins)), _) => bins.best_split(&bins.total(), scratch),
                _ => continue,
            };
            if split.merit >= best.merit {
                (second, best, name) = (best.merit, split, feature);
            } else if split.merit > second {
                second = split.merit;
            }
        }
        (name, best, second)
    }

    /// A leaf below, which goes on with the linear model.
    pub fn child(&self, targets: &Moments, watched: Watched) -> ForestLeaf {
        let mut leaf = ForestLeaf::new(self.depth + 1, 0.0, watched);
        leaf.linear = self.linear.clone();
        leaf.targets = *targets;
        if leaf.targets.count > CHILD_WEIGHT {
            leaf.targets.squares *= CHILD_WEIGHT / leaf.targets.count;
            leaf.targets.count = CHILD_WEIGHT;
        }
        leaf.tried_at = leaf.targets.count;
        leaf
    }

    /// Drop what only splits are chosen by.
    pub fn deactivate(&mut self) {
        self.met = None;
    }

    /// Drop what is kept of one feature.
    pub fn withhold(&mut self, feature: u32) {
        let Some(place) = self.watched.features.iter().position(|&each| each == feature) else { return };
        self.watched.features.remove(place);
        if let Some(met) = self.met.as_mut().filter(|met| place < met.len()) {
            met.remove(place);
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(usize::from(self.active()));
        to.row(&self.targets.numbers());
        to.row(&[self.mean_error, self.linear_error, self.tried_at, self.events, self.linear.intercept]);
        to.count(self.linear.weights.len());
        to.row(&self.linear.weights);
        self.watched.write(to);
        for observer in self.met.iter().flatten() {
            to.count(usize::from(observer.is_some()));
            match observer {
                Some(Observer::Number(bins)) => bins.write(to),
                Some(Observer::Category(categories)) => categories.write(to),
                None => {}
            }
        }
        if let Some(met) = &self.met {
            (met.len()..self.watched.features.len()).for_each(|_| to.count(0));
        }
    }

    /// What `write` wrote. `categories`: how many each feature has.
    pub fn read(reader: &mut Reader, depth: u32, features: &[Feature], categories: &[usize]) -> Read<ForestLeaf> {
        let active = reader.flag()?;
        let targets = read_moments(reader)?;
        let numbers = reader.row(5)?;
        let weights = reader.below(features.len() + 1)?;
        let linear = Linear { weights: reader.row(weights)?, intercept: numbers[4] };
        let watched = Watched::read(reader, features.len(), watched)?;
        let mut met = vec![];
        for &feature in watched.features.iter().filter(|_| active) {
            met.push(match (reader.flag()?, features[feature as usize].is_number()) {
                (false, _) => None,
                (true, true) => Some(Observer::Number(Bins::read(reader, BINS_MAX)?)),
                (true, false) => Some(Observer::Category(Categories::read(reader, categories[feature as usize])?)),
            });
        }
        let (mean_error, linear_error, tried_at, events) = (numbers[0], numbers[1], numbers[2], numbers[3]);
        Ok(ForestLeaf { depth, targets, mean_error, linear_error, tried_at, events, linear, watched, met: active.then_some(met) })
    }
}

/// How many features a leaf watches of so many.
pub fn watched(features: usize) -> usize {
    features.div_ceil(2)
}

/// Add a target under a feature's value; a number is left out as long as its scale is not known.
#[inline]
fn observe(observer: &mut Option<Observer>, feature: &Feature, value: f64, y: f64, w: f64) {
    match (&mut *observer, feature) {
        (Some(Observer::Number(bins)), _) => bins.update(bins.near(value, FAR), y, w),
        (Some(Observer::Category(categories)), _) => categories.update(value as usize, y, w),
        (None, Feature::Number(range)) => {
            if let Some(scale) = range.scale() {
                let mut bins = Bins::of(BIN_WIDTH * scale, BINS_MAX);
                bins.update(bins.near(value, FAR), y, w);
                *observer = Some(Observer::Number(bins));
            }
        }
        (None, Feature::Category { .. }) => {
            let mut categories = Categories::default();
            categories.update(value as usize, y, w);
            *observer = Some(Observer::Category(categories));
        }
    }
}
