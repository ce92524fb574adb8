//! A leaf of a regression tree: see `stream_retrain/models/tree_targets.py`.

use super::bins::{read_moments, Bins, Categories, Split, BINS_MAX};
use super::moments::Moments;
use crate::block::{Damaged, Read, Reader, Writer};
use crate::features::{Feature, NOWHERE};
use crate::nodes::Weighed;

const RATE: f64 = 0.01;
const GRADIENT_MAX: f64 = 1e12;
const DECAY: f64 = 0.95;

/// Least squares by stochastic gradient steps, of the numbers alone.
#[derive(Clone, Default)]
pub struct Linear {
    /// By feature; NaN for one that has none.
    weights: Vec<f64>,
    /// The features in the order in which they came.
    order: Vec<u32>,
    intercept: f64,
}

impl Linear {
    fn predict(&self, row: &[f64]) -> f64 {
        let mut total = 0.0;
        for (weight, value) in self.weights.iter().zip(row) {
            if !weight.is_nan() && !value.is_nan() {
                total += weight * value;
            }
        }
        total + self.intercept
    }

    /// One step, by what it predicts now.
    fn learn(&mut self, row: &[f64], predicted: f64, y: f64, w: f64, features: &[Feature]) {
        let gradient = 2.0 * (predicted - y) * w;
        let gradient = if gradient < GRADIENT_MAX { gradient } else { GRADIENT_MAX };
        let gradient = if gradient > -GRADIENT_MAX { gradient } else { -GRADIENT_MAX };
        self.intercept -= RATE * gradient;
        if self.weights.len() < row.len() {
            self.weights.resize(row.len(), f64::NAN);
        }
        for (feature, &value) in row.iter().enumerate() {
            if value.is_nan() || !features[feature].is_number() {
                continue;
            }
            let weight = &mut self.weights[feature];
            if weight.is_nan() {
                self.order.push(feature as u32);
                *weight = 0.0;
            }
            *weight -= RATE * (value * gradient);
        }
    }
}

/// What a leaf keeps of one feature.
pub enum Observer {
    Number(Bins),
    Category(Categories),
}

/// The features that a leaf has met, in the order in which they came to it.
#[derive(Default)]
pub struct Met {
    features: Vec<u32>,
    /// By feature, its place.
    places: Vec<u32>,
    observers: Vec<Observer>,
}

impl Met {
    fn place(&mut self, feature: usize, number: bool) -> usize {
        if self.places.len() <= feature {
            self.places.resize(feature + 1, NOWHERE);
        }
        if self.places[feature] == NOWHERE {
            self.places[feature] = self.features.len() as u32;
            self.features.push(feature as u32);
            self.observers.push(if number { Observer::Number(Bins::default()) } else { Observer::Category(Categories::default()) });
        }
        self.places[feature] as usize
    }
}

pub struct TargetLeaf {
    pub depth: u32,
    pub targets: Moments,
    mean_error: f64,
    linear_error: f64,
    pub tried_at: f64,
    linear: Linear,
    /// None where it will not be split any more.
    met: Option<Met>,
}

impl Weighed for TargetLeaf {
    #[inline]
    fn total(&self) -> f64 {
        self.targets.count
    }
}

impl TargetLeaf {
    pub fn new(depth: u32) -> TargetLeaf {
        let (targets, linear, met) = (Moments::default(), Linear::default(), Some(Met::default()));
        TargetLeaf { depth, targets, mean_error: 0.0, linear_error: 0.0, tried_at: 0.0, linear, met }
    }

    pub fn active(&self) -> bool {
        self.met.is_some()
    }

    /// The mean, or what the linear model says.
    pub fn predict(&self, row: &[f64]) -> f64 {
        if self.linear_error <= self.mean_error {
            self.linear.predict(row)
        } else {
            self.targets.mean
        }
    }

    /// Learn one event, after its errors.
    pub fn learn(&mut self, row: &[f64], y: f64, w: f64, features: &[Feature]) {
        let predicted = self.linear.predict(row);
        let (off, residual) = (y - self.targets.mean, y - predicted);
        self.mean_error = DECAY * self.mean_error + off * off;
        self.linear_error = DECAY * self.linear_error + residual * residual;
        self.targets.add(y, w);
        if let Some(met) = &mut self.met {
            for (feature, &value) in row.iter().enumerate() {
                if value.is_nan() {
                    continue;
                }
                let place = met.place(feature, features[feature].is_number());
                match &mut met.observers[place] {
                    Observer::Number(bins) => bins.update(value, y, w),
                    Observer::Category(categories) => categories.update(value as usize, y, w),
                }
            }
        }
        self.linear.learn(row, predicted, y, w, features);
    }

    /// The feature and its split, and the merit of the second best; of equal ones the last counts.
    pub fn best_split(&self, features: &[Feature], scratch: &mut Vec<Moments>) -> (u32, Split, f64) {
        let (mut name, mut best, mut second) = (0, Split::none(), f64::NEG_INFINITY);
        let met = self.met.iter().flat_map(|met| met.features.iter().zip(&met.observers));
        for (&feature, observer) in met {
            let split = match (observer, &features[feature as usize]) {
                (Observer::Category(categories), Feature::Category { ranked, .. }) => categories.best_split(&self.targets, ranked),
                (Observer::Number(bins), _) => bins.best_split(&self.targets, scratch),
                _ => Split::none(),
            };
            if split.merit >= best.merit {
                (second, best, name) = (best.merit, split, feature);
            } else if split.merit > second {
                second = split.merit;
            }
        }
        (name, best, second)
    }

    /// A leaf below, which goes on with the linear model and the errors.
    pub fn child(&self, targets: &Moments) -> TargetLeaf {
        let mut leaf = TargetLeaf::new(self.depth + 1);
        (leaf.targets, leaf.tried_at, leaf.linear) = (*targets, targets.count, self.linear.clone());
        (leaf.mean_error, leaf.linear_error) = (self.mean_error, self.linear_error);
        leaf
    }

    /// Drop what only splits are chosen by.
    pub fn deactivate(&mut self) {
        self.met = None;
    }

    /// Drop what is kept of one feature.
    pub fn withhold(&mut self, feature: u32) {
        let Some(met) = &mut self.met else { return };
        if let Some(place) = met.features.iter().position(|&each| each == feature) {
            met.features.remove(place);
            met.observers.remove(place);
            met.places.fill(NOWHERE);
            for (at, &each) in met.features.iter().enumerate() {
                met.places[each as usize] = at as u32;
            }
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(usize::from(self.active()));
        to.count(self.linear.order.len());
        to.row(&self.targets.numbers());
        to.row(&[self.mean_error, self.linear_error, self.tried_at, self.linear.intercept]);
        for &feature in &self.linear.order {
            to.count(feature as usize);
            to.number(self.linear.weights[feature as usize]);
        }
        let Some(met) = &self.met else { return };
        to.count(met.features.len());
        for (&feature, observer) in met.features.iter().zip(&met.observers) {
            to.count(feature as usize);
            match observer {
                Observer::Number(bins) => bins.write(to),
                Observer::Category(categories) => categories.write(to),
            }
        }
    }

    /// What `write` wrote. `categories`: how many each feature has.
    pub fn read(reader: &mut Reader, depth: u32, features: &[Feature], categories: &[usize]) -> Read<TargetLeaf> {
        let mut leaf = TargetLeaf::new(depth);
        let active = reader.flag()?;
        let weights = reader.below(features.len() + 1)?;
        leaf.targets = read_moments(reader)?;
        (leaf.mean_error, leaf.linear_error, leaf.tried_at) = (reader.number()?, reader.number()?, reader.number()?);
        leaf.linear.intercept = reader.number()?;
        leaf.linear.weights.resize(features.len(), f64::NAN);
        for _ in 0..weights {
            let feature = reader.below(features.len())?;
            if leaf.linear.order.contains(&(feature as u32)) || !features[feature].is_number() {
                return Err(Damaged);
            }
            leaf.linear.order.push(feature as u32);
            leaf.linear.weights[feature] = reader.number()?;
        }
        if !active {
            leaf.met = None;
            return Ok(leaf);
        }
        let mut met = Met::default();
        for place in 0..reader.below(features.len() + 1)? {
            let feature = reader.below(features.len())?;
            if met.place(feature, features[feature].is_number()) != place {
                return Err(Damaged);
            }
            met.observers[place] = match features[feature].is_number() {
                true => Observer::Number(Bins::read(reader, BINS_MAX)?),
                false => Observer::Category(Categories::read(reader, categories[feature])?),
            };
        }
        leaf.met = Some(met);
        Ok(leaf)
    }
}
