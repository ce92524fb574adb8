//! The nearest events of a window: see `stream_retrain/models/nearest_window.py`. Here a feature, a category and a class are numbers.

pub mod relevance;
mod search;

use crate::block::{Damaged, Read, Reader, Writer};
use crate::moments::Moments;
use relevance::{Relevance, Task, Taught, APART_MAX, RANKED_EVERY};
use search::{Complete, Least};

pub const NEIGHBORS_MAX: usize = 32;
pub const FEATURES_MAX: usize = 256;
/// Later categories of a feature share this number.
pub const CATEGORIES_MAX: usize = 64;
/// A category that was never learned.
pub const UNKNOWN: f64 = -1.0;
const CLIP: f64 = 8.0;
const DIFFERENT: f32 = 2.0;
const CLEARER: f64 = 1.5;
const DISTANCE_MIN: f64 = 1e-12;
const COUNT_MAX: f64 = 9.007199254740992e15;

/// What a model was made with.
#[derive(Clone, Copy)]
pub struct Made {
    pub neighbors: usize,
    pub window: usize,
    pub features_max: usize,
    pub task: Task,
}

pub enum Feature {
    Number(Moments),
    /// The first slot of its categories.
    Category(u32),
}

impl Feature {
    /// A value as a column has it.
    fn encode(&self, value: f64) -> f32 {
        match self {
            _ if value.is_nan() => f32::NAN,
            Feature::Number(moments) => standard(moments, value) as f32,
            Feature::Category(_) => value as f32,
        }
    }

    /// What this feature adds to the distances of an event, where a value may be missing or is a category.
    fn add(&self, distances: &mut [f32], asked: f32, column: &[f32]) {
        let each = distances.iter_mut().zip(column);
        match self {
            _ if asked.is_nan() => each.for_each(|(sum, value)| *sum += if value.is_nan() { 0.0 } else { DIFFERENT }),
            Feature::Category(_) => each.for_each(|(sum, &value)| *sum += if value == asked { 0.0 } else { DIFFERENT }),
            Feature::Number(_) => each.for_each(|(sum, &value)| {
                let off = asked - value;
                *sum += if value.is_nan() { DIFFERENT } else { off * off };
            }),
        }
    }
}

/// The number in deviations from its mean.
fn standard(moments: &Moments, value: f64) -> f64 {
    let z = moments.deviation(value);
    let z = if z < CLIP { z } else { CLIP };
    if z > -CLIP {
        z
    } else {
        -CLIP
    }
}

/// The values of a feature that is kept; NaN where it is missing.
struct Column {
    feature: usize,
    values: Vec<f32>,
    missing: usize,
}

impl Column {
    fn new(feature: usize, rows: usize) -> Column {
        Column { feature, values: vec![f32::NAN; rows], missing: rows }
    }

    fn put(&mut self, place: usize, value: f32) {
        if place == self.values.len() {
            self.values.push(value);
        } else {
            self.missing -= usize::from(self.values[place].is_nan());
            self.values[place] = value;
        }
        self.missing += usize::from(value.is_nan());
    }
}

pub struct Nearest {
    made: Made,
    pub features: Vec<Feature>,
    /// By feature, the value of the event; NaN where it is missing.
    pub row: Vec<f64>,
    columns: Vec<Column>,
    distances: Vec<f32>,
    least: Least,
    learned: u64,
    relevance: Relevance,
    /// Place and weight of each neighbor of the last event, the nearest first.
    pub found: Vec<(usize, f64)>,
}

impl Nearest {
    pub fn new(made: Made) -> Nearest {
        Nearest {
            made,
            features: vec![],
            row: vec![],
            columns: vec![],
            distances: vec![],
            least: Least::default(),
            learned: 0,
            relevance: Relevance::new(made.task),
            found: vec![],
        }
    }

    fn rows(&self) -> usize {
        self.learned.min(self.made.window as u64) as usize
    }

    /// Begin an event, whose values are to be put into `row`.
    pub fn begin(&mut self) {
        self.row.clear();
        self.row.resize(self.features.len(), f64::NAN);
    }

    pub fn add_number(&mut self) {
        let base = self.relevance.add_slots(1);
        self.add_feature(Feature::Number(Moments::new(base)));
    }

    pub fn add_categories(&mut self) {
        let base = self.relevance.add_slots(APART_MAX + 1);
        self.add_feature(Feature::Category(base));
    }

    fn add_feature(&mut self, feature: Feature) {
        if self.columns.len() < self.made.features_max {
            self.columns.push(Column::new(self.features.len(), self.rows()));
        }
        self.features.push(feature);
    }

    /// Find the neighbors of the event.
    pub fn search(&mut self) {
        self.found.clear();
        let rows = self.rows();
        if rows == 0 {
            return;
        }
        self.distances.clear();
        self.distances.resize(rows, 0.0);
        let mut complete = Complete::default();
        for column in &self.columns {
            let feature = &self.features[column.feature];
            let value = feature.encode(self.row[column.feature]);
            match feature {
                Feature::Number(_) if column.missing == 0 && !value.is_nan() => complete.push(&mut self.distances, value, &column.values),
                _ => {
                    complete.end(&mut self.distances);
                    feature.add(&mut self.distances, value, &column.values);
                }
            }
        }
        complete.end(&mut self.distances);
        let k = self.made.neighbors.min(rows);
        let least = self.least.of(k, &self.distances);
        self.found.extend(least.map(|(distance, place)| (place, f64::from(distance))));
        let farthest = self.found[k - 1].1;
        let unit = if farthest > DISTANCE_MIN { farthest } else { DISTANCE_MIN };
        self.found.iter_mut().for_each(|(_, weight)| *weight = 1.0 / (*weight / unit + 0.1));
    }

    /// Learn the event; the place that it has in the window.
    pub fn learn(&mut self, taught: Taught) -> usize {
        let place = (self.learned % self.made.window as u64) as usize;
        let crowded = self.features.len() > self.made.features_max;
        if crowded {
            self.relevance.begin(taught);
        }
        for (feature, &value) in self.features.iter_mut().zip(&self.row) {
            match feature {
                _ if value.is_nan() => {}
                Feature::Number(moments) => {
                    moments.update(value);
                    if crowded {
                        self.relevance.add(moments.base, standard(moments, value), taught);
                    }
                }
                Feature::Category(base) if crowded => self.relevance.add(*base + (value as u32).min(APART_MAX as u32), 1.0, taught),
                Feature::Category(_) => {}
            }
        }
        for column in &mut self.columns {
            column.put(place, self.features[column.feature].encode(self.row[column.feature]));
        }
        self.learned += 1;
        if crowded {
            self.relevance.end();
            if self.learned % RANKED_EVERY == 0 {
                self.rank();
            }
        }
        place
    }

    /// Keep the features that tell clearly more than those that are kept.
    fn rank(&mut self) {
        self.relevance.settle();
        let of = |feature: &Feature| match feature {
            Feature::Number(moments) => self.relevance.of_number(moments.base),
            Feature::Category(base) => self.relevance.of_categories(*base),
        };
        let told: Vec<f64> = self.features.iter().map(of).collect();
        let mut ranked: Vec<usize> = (0..told.len()).collect();
        ranked.sort_by(|&one, &other| told[other].total_cmp(&told[one]));
        let position = |feature| self.columns.iter().position(|column| column.feature == feature);
        let kept: Vec<usize> = ranked.iter().rev().filter_map(|&feature| position(feature)).collect();
        let others: Vec<usize> = ranked.iter().copied().filter(|&feature| position(feature).is_none()).collect();
        let rows = self.rows();
        for (feature, position) in others.into_iter().zip(kept) {
            let column = &mut self.columns[position];
            if told[feature] > CLEARER * told[column.feature] {
                *column = Column::new(feature, rows);
            }
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.relevance.slots);
        for feature in &self.features {
            match feature {
                Feature::Number(moments) => {
                    to.count(1);
                    moments.write(to);
                }
                Feature::Category(base) => {
                    to.count(0);
                    to.count(*base as usize);
                }
            }
        }
        to.number(self.learned as f64);
        for column in &self.columns {
            to.count(column.feature);
            column.values.iter().for_each(|value| to.count(value.to_bits() as usize));
        }
        self.relevance.write(to);
    }

    /// What `write` wrote, into a new model, by the number of features; how many rows there are.
    pub fn read(&mut self, reader: &mut Reader, features: usize) -> Read<usize> {
        let slots = reader.count()?;
        if features > FEATURES_MAX || slots > FEATURES_MAX * (APART_MAX + 1) {
            return Err(Damaged);
        }
        for _ in 0..features {
            self.features.push(match reader.flag()? {
                true => Feature::Number(Moments::read(reader, 1, slots)?),
                false => Feature::Category(reader.below(slots.saturating_sub(APART_MAX))? as u32),
            });
        }
        let learned = reader.number()?;
        if !(0.0..COUNT_MAX).contains(&learned) {
            return Err(Damaged);
        }
        self.learned = learned as u64;
        for _ in 0..features.min(self.made.features_max) {
            let column = self.read_column(reader)?;
            self.columns.push(column);
        }
        self.relevance.read(reader, slots)?;
        Ok(self.rows())
    }

    fn read_column(&self, reader: &mut Reader) -> Read<Column> {
        let feature = reader.below(self.features.len())?;
        let mut column = Column::new(feature, 0);
        for place in 0..self.rows() {
            let value = f32::from_bits(reader.count()? as u32);
            let usable = match &self.features[feature] {
                Feature::Number(_) => (-CLIP as f32..=CLIP as f32).contains(&value),
                Feature::Category(_) => (0.0..=CATEGORIES_MAX as f32).contains(&value),
            };
            if !usable && !value.is_nan() {
                return Err(Damaged);
            }
            column.put(place, if usable { value } else { f32::NAN });
        }
        match self.columns.iter().any(|other| other.feature == feature) {
            true => Err(Damaged),
            false => Ok(column),
        }
    }
}

#[cfg(test)]
mod tests;
