//! The additive models: see `stream_retrain/models/bins.py` and `plain_additive.py`. Here a feature and a class are numbers.
//!
//! A weight and its sum of squared gradients stand side by side, the outputs of a slot together: an event touches few lines of memory.

mod pairs;
mod state;
#[cfg(test)]
mod tests;

use crate::arithmetic::{exp, tanh};
use crate::moments::Moments;
use crate::weight::Weight;
use pairs::{Grid, Pairs, Part};

const STEEPNESS: f64 = 0.8;
const LINEAR_MAX: f64 = 4.0;

/// What a model is made with.
#[derive(Clone, Copy)]
pub struct Parameters {
    /// Of a number; 1: a linear model.
    pub bins: usize,
    pub rate: f64,
    pub categories_max: usize,
    pub decay: f64,
    pub pairs: usize,
    pub pair_bins: usize,
    pub seed: u64,
}

/// A number of an event: its feature, the value, the lower of its two slots, and the weight of the upper one.
///
/// In a linear model: its slot, and the standardised value.
#[derive(Clone, Copy)]
struct Place {
    feature: u32,
    slot: u32,
    value: f64,
    upper: f64,
}

pub struct Additive {
    parameters: Parameters,
    half: f64,
    pub slots: usize,
    moments: Vec<Moments>,
    pairs: Option<Pairs>,
    outputs: usize,
    /// By slot and output.
    weights: Vec<Weight>,
    intercepts: Vec<Weight>,
    numbers: Vec<Place>,
    categories: Vec<u32>,
    grids: Vec<Grid>,
    parts: Vec<Part>,
    pub scores: Vec<f64>,
    pub errors: Vec<f64>,
}

impl Additive {
    pub fn new(parameters: Parameters) -> Additive {
        let Parameters { bins, categories_max, pairs, pair_bins, seed, .. } = parameters;
        Additive {
            parameters,
            half: 0.5 * (bins as f64 - 1.0) * (1.0 - 1e-12),
            slots: 0,
            moments: vec![],
            pairs: (pairs > 0).then(|| Pairs::new(pairs, pair_bins, categories_max, seed)),
            outputs: 1,
            weights: vec![],
            intercepts: vec![Weight::default()],
            numbers: vec![],
            categories: vec![],
            grids: vec![],
            parts: vec![],
            scores: vec![0.0],
            errors: vec![],
        }
    }

    fn is_linear(&self) -> bool {
        self.parameters.bins == 1
    }

    /// Begin an event; its numbers and categories follow, then `finish`.
    pub fn begin(&mut self) {
        self.numbers.clear();
        self.categories.clear();
        self.grids.clear();
        self.parts.clear();
        if let Some(pairs) = &mut self.pairs {
            pairs.begin();
        }
    }

    /// A number of the event.
    #[inline]
    pub fn number(&mut self, feature: u32, value: f64) {
        let moments = &self.moments[feature as usize];
        let (deviation, slot) = (moments.deviation(value), moments.base);
        if self.is_linear() {
            let most = if deviation < LINEAR_MAX { deviation } else { LINEAR_MAX };
            self.numbers.push(Place { feature, slot, value, upper: if most > -LINEAR_MAX { most } else { -LINEAR_MAX } });
            return;
        }
        let squashed = tanh(STEEPNESS * deviation);
        let position = self.half + self.half * squashed;
        let lower = position as u32;
        self.numbers.push(Place { feature, slot: slot + lower, value, upper: position - f64::from(lower) });
        if let Some(pairs) = &mut self.pairs {
            pairs.number(feature, squashed);
        }
    }

    /// The slot of a category of the event.
    pub fn category(&mut self, slot: u32) {
        self.categories.push(slot);
        if let Some(pairs) = &mut self.pairs {
            pairs.category(slot);
        }
    }

    /// Score the event whose parts are known.
    pub fn finish(&mut self) {
        if !self.numbers.is_sorted_by_key(|place| place.slot) {
            self.numbers.sort_by_key(|place| place.slot);
        }
        self.categories.sort_unstable();
        if self.is_linear() {
            self.parts.extend(self.numbers.iter().map(|place| Part { slot: place.slot, part: place.upper }));
        } else if let Some(pairs) = &self.pairs {
            pairs.finish(&mut self.grids, &mut self.parts);
        }
        self.score();
    }

    fn score(&mut self) {
        let width = self.outputs;
        let numbers = if self.is_linear() { &[] } else { &self.numbers[..] };
        for output in 0..width {
            let mut total = self.intercepts[output].value;
            for place in numbers {
                let at = place.slot as usize * width + output;
                let lower = self.weights[at].value;
                total += lower + place.upper * (self.weights[at + width].value - lower);
            }
            for &slot in &self.categories {
                total += self.weights[slot as usize * width + output].value;
            }
            for grid in &self.grids {
                let (at, above) = (grid.slot as usize * width + output, (grid.slot + grid.across) as usize * width + output);
                let (lower, higher) = (self.weights[at].value, self.weights[above].value);
                let lower = lower + grid.right * (self.weights[at + width].value - lower);
                let higher = higher + grid.right * (self.weights[above + width].value - higher);
                total += lower + grid.upper * (higher - lower);
            }
            for part in &self.parts {
                total += part.part * self.weights[part.slot as usize * width + output].value;
            }
            self.scores[output] = total;
        }
    }

    /// The slots of a new number; its feature is the next one.
    pub fn add_number(&mut self) {
        let base = self.slots as u32;
        self.moments.push(Moments::new(base));
        if let Some(pairs) = &mut self.pairs {
            pairs.add_number(base);
        }
        self.extend(self.parameters.bins);
    }

    /// A new feature of categories; its number is the next one.
    pub fn add_names(&mut self) {
        if let Some(pairs) = &mut self.pairs {
            pairs.add_names();
        }
    }

    /// The slot of a new category of a feature that has `before` ones.
    pub fn add_category(&mut self, feature: u32, before: usize) -> u32 {
        let slot = self.slots as u32;
        if let Some(pairs) = &mut self.pairs {
            pairs.add_value(feature, before, slot);
        }
        self.extend(1);
        slot
    }

    /// Give a slot of a category to another one.
    pub fn reuse(&mut self, slot: u32) {
        let of_pairs = self.pairs.as_ref().map(|pairs| pairs.slots_of(slot)).unwrap_or_default();
        for slot in of_pairs.into_iter().chain([slot as usize]) {
            let at = slot * self.outputs;
            self.weights[at..at + self.outputs].fill(Weight::default());
        }
    }

    /// Take pairs of the features that the event has brought.
    pub fn choose_pairs(&mut self) {
        if let Some(pairs) = &mut self.pairs {
            let slots = pairs.choose(self.slots);
            self.extend(slots - self.slots);
        }
    }

    fn extend(&mut self, slots: usize) {
        self.slots += slots;
        self.weights.resize(self.slots * self.outputs, Weight::default());
    }

    /// Another class, with its number: two share one score, and from the third on each has its own.
    pub fn add_class(&mut self, class: usize) {
        if class == 2 {
            self.widen();
            let split = |pair: &mut [Weight]| {
                let Weight { value, squares } = pair[0];
                pair[0] = Weight { value: -0.5 * value, squares };
                pair[1] = Weight { value: 0.5 * value, squares };
            };
            self.weights.chunks_exact_mut(2).for_each(split);
            split(&mut self.intercepts);
        }
        if class >= 2 {
            self.widen();
        }
        self.score();
    }

    fn widen(&mut self) {
        let (old, new) = (self.outputs, self.outputs + 1);
        let mut wide = vec![Weight::default(); self.slots * new];
        for (to, from) in wide.chunks_exact_mut(new).zip(self.weights.chunks_exact(old)) {
            to[..old].copy_from_slice(from);
        }
        (self.weights, self.outputs) = (wide, new);
        self.intercepts.push(Weight::default());
        self.scores.push(0.0);
    }

    /// Move the weights of each output against its error, then update the running moments.
    pub fn learn(&mut self) {
        let (width, Parameters { rate, decay, .. }) = (self.outputs, self.parameters);
        let numbers = if self.is_linear() { &[] } else { &self.numbers[..] };
        for output in 0..width {
            let error = self.errors[output];
            for place in numbers {
                let at = place.slot as usize * width + output;
                self.weights[at].step(error * (1.0 - place.upper), rate, decay);
                self.weights[at + width].step(error * place.upper, rate, decay);
            }
            for &slot in &self.categories {
                self.weights[slot as usize * width + output].step(error, rate, decay);
            }
            self.intercepts[output].step(error, rate, decay);
        }
        self.learn_pairs();
        for place in &self.numbers {
            self.moments[place.feature as usize].update(place.value);
        }
    }

    fn learn_pairs(&mut self) {
        let (width, weights, errors) = (self.outputs, &mut self.weights[..], &self.errors[..]);
        let Parameters { rate, decay, .. } = self.parameters;
        for grid in &self.grids {
            let (row, above) = (grid.slot as usize * width, (grid.slot + grid.across) as usize * width);
            let [lower_left, lower_right, upper_left, upper_right] = grid.parts();
            step_outputs(&mut weights[row..row + width], errors, lower_left, rate, decay);
            step_outputs(&mut weights[row + width..row + 2 * width], errors, lower_right, rate, decay);
            step_outputs(&mut weights[above..above + width], errors, upper_left, rate, decay);
            step_outputs(&mut weights[above + width..above + 2 * width], errors, upper_right, rate, decay);
        }
        for part in &self.parts {
            let row = part.slot as usize * width;
            step_outputs(&mut weights[row..row + width], errors, part.part, rate, decay);
        }
    }
}

/// Move the weights of a slot, one an output; they are left alone where its part is 0.
#[inline(always)]
fn step_outputs(weights: &mut [Weight], errors: &[f64], part: f64, rate: f64, decay: f64) {
    if part != 0.0 {
        weights.iter_mut().zip(errors).for_each(|(weight, error)| weight.step(error * part, rate, decay));
    }
}

/// The class probabilities: from one score, that of the second of two classes; else from one score a class.
pub fn softmax(scores: &[f64], proba: &mut Vec<f64>) {
    proba.clear();
    if let [score] = scores {
        let second = 0.5 + 0.5 * tanh(0.5 * score);
        proba.extend([1.0 - second, second]);
        return;
    }
    let highest = scores.iter().fold(f64::NEG_INFINITY, |most, &score| if score > most { score } else { most });
    proba.extend(scores.iter().map(|score| exp(score - highest)));
    let total = proba.iter().fold(0.0, |total, value| total + value);
    proba.iter_mut().for_each(|value| *value /= total);
}
