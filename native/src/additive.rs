//! The additive models: see `stream_retrain/models/bins.py` and `plain_additive.py`. Here a feature and a class are numbers.
//!
//! A weight and its sum of squared gradients stand side by side, the outputs of a slot together: an event touches few lines of memory.

use crate::arithmetic::{exp, tanh};
use crate::block::{Damaged, Read, Reader, Writer};
use crate::usual::{reach, DEVIATIONS, RATE_MIN, WARM_UP};

const STEEPNESS: f64 = 0.8;
const VARIANCE_MIN: f64 = 1e-300;
const DECAY: f64 = 0.999;
const SQUARES_MIN: f64 = 1e-5;

/// The first slot of a numeric feature, and its running mean and variance.
struct Moments {
    base: u32,
    count: f64,
    mean: f64,
    variance: f64,
    scale: f64,
}

impl Moments {
    fn update(&mut self, value: f64) {
        self.count += 1.0;
        let mut rate = 1.0 / self.count;
        if rate < RATE_MIN {
            rate = RATE_MIN;
        }
        let mut off = value - self.mean;
        let deviations = off * self.scale;
        if self.count > WARM_UP && !(-DEVIATIONS < deviations && deviations < DEVIATIONS) {
            let far = reach(self.mean, self.variance);
            off = if off < far { off } else { far };
            off = if off > -far { off } else { -far };
        }
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
        self.scale = 1.0 / (self.variance + VARIANCE_MIN).sqrt();
    }
}

/// A weight and the decayed sum of its squared gradients.
#[derive(Clone, Copy, Default)]
struct Weight {
    value: f64,
    squares: f64,
}

impl Weight {
    #[inline(always)]
    fn step(&mut self, gradient: f64, rate: f64) {
        self.squares = DECAY * self.squares + gradient * gradient;
        self.value -= rate * gradient / (self.squares + SQUARES_MIN).sqrt();
    }
}

/// A number of an event: its feature, the value, the lower of its two slots, and the weight of the upper one.
#[derive(Clone, Copy)]
struct Place {
    feature: u32,
    slot: u32,
    value: f64,
    upper: f64,
}

pub struct Additive {
    bins: usize,
    rate: f64,
    half: f64,
    pub slots: usize,
    moments: Vec<Moments>,
    outputs: usize,
    /// By slot and output.
    weights: Vec<Weight>,
    intercepts: Vec<Weight>,
    numbers: Vec<Place>,
    categories: Vec<u32>,
    pub scores: Vec<f64>,
    pub errors: Vec<f64>,
}

impl Additive {
    pub fn new(bins: usize, rate: f64) -> Additive {
        Additive {
            bins,
            rate,
            half: 0.5 * (bins as f64 - 1.0) * (1.0 - 1e-12),
            slots: 0,
            moments: vec![],
            outputs: 1,
            weights: vec![],
            intercepts: vec![Weight::default()],
            numbers: vec![],
            categories: vec![],
            scores: vec![0.0],
            errors: vec![],
        }
    }

    /// Begin an event; its numbers and categories follow, then `finish`.
    pub fn begin(&mut self) {
        self.numbers.clear();
        self.categories.clear();
    }

    /// A number of the event.
    #[inline]
    pub fn number(&mut self, feature: u32, value: f64) {
        let moments = &self.moments[feature as usize];
        let position = self.half + self.half * tanh(STEEPNESS * ((value - moments.mean) * moments.scale));
        let lower = position as u32;
        self.numbers.push(Place { feature, slot: moments.base + lower, value, upper: position - f64::from(lower) });
    }

    /// The slot of a category of the event.
    pub fn category(&mut self, slot: u32) {
        self.categories.push(slot);
    }

    /// Score the event whose parts are known.
    pub fn finish(&mut self) {
        if !self.numbers.is_sorted_by_key(|place| place.slot) {
            self.numbers.sort_by_key(|place| place.slot);
        }
        self.categories.sort_unstable();
        self.score();
    }

    fn score(&mut self) {
        let width = self.outputs;
        for output in 0..width {
            let mut total = self.intercepts[output].value;
            for place in &self.numbers {
                let at = place.slot as usize * width + output;
                let lower = self.weights[at].value;
                total += lower + place.upper * (self.weights[at + width].value - lower);
            }
            for &slot in &self.categories {
                total += self.weights[slot as usize * width + output].value;
            }
            self.scores[output] = total;
        }
    }

    /// The slots of a new number; its feature is the next one.
    pub fn add_number(&mut self) {
        let base = self.slots as u32;
        self.moments.push(Moments { base, count: 0.0, mean: 0.0, variance: 0.0, scale: 0.0 });
        self.extend(self.bins);
    }

    /// The slot of a new category.
    pub fn add_category(&mut self) -> u32 {
        self.extend(1);
        self.slots as u32 - 1
    }

    /// Give a slot of a category to another one.
    pub fn reuse(&mut self, slot: u32) {
        let at = slot as usize * self.outputs;
        self.weights[at..at + self.outputs].fill(Weight::default());
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
        let (width, rate) = (self.outputs, self.rate);
        for output in 0..width {
            let error = self.errors[output];
            for place in &self.numbers {
                let at = place.slot as usize * width + output;
                self.weights[at].step(error * (1.0 - place.upper), rate);
                self.weights[at + width].step(error * place.upper, rate);
            }
            for &slot in &self.categories {
                self.weights[slot as usize * width + output].step(error, rate);
            }
            self.intercepts[output].step(error, rate);
        }
        for place in &self.numbers {
            self.moments[place.feature as usize].update(place.value);
        }
    }

    pub fn write(&self, to: &mut Writer, categories: impl Iterator<Item = u32>) {
        to.count(self.slots);
        for moments in &self.moments {
            to.count(moments.base as usize);
            to.row(&[moments.count, moments.mean, moments.variance]);
        }
        categories.for_each(|slot| to.count(slot as usize));
        to.count(self.outputs);
        for output in 0..self.outputs {
            to.row(&[self.intercepts[output].value, self.intercepts[output].squares]);
            let of_output = || self.weights.iter().skip(output).step_by(self.outputs);
            of_output().for_each(|weight| to.number(weight.value));
            of_output().for_each(|weight| to.number(weight.squares));
        }
    }

    /// What `write` wrote, into a new model; the slots of the categories are returned.
    pub fn read(&mut self, reader: &mut Reader, numbers: usize, categories: usize, outputs: usize) -> Read<Vec<u32>> {
        self.slots = reader.count()?;
        for _ in 0..numbers {
            let base = reader.below(self.slots)?;
            let (count, mean, variance) = (reader.number()?, reader.number()?, reader.number()?);
            if base + self.bins > self.slots || !(0.0..9.007199254740992e15).contains(&count) || !variance.ge(&0.0) {
                return Err(Damaged);
            }
            let scale = if count > 0.0 { 1.0 / (variance + VARIANCE_MIN).sqrt() } else { 0.0 };
            self.moments.push(Moments { base: base as u32, count: count.trunc(), mean, variance, scale });
        }
        let slots = (0..categories).map(|_| Ok(reader.below(self.slots)? as u32)).collect::<Read<Vec<u32>>>()?;
        if reader.count()? != outputs {
            return Err(Damaged);
        }
        self.outputs = outputs;
        self.intercepts.clear();
        let mut columns = vec![];
        for _ in 0..outputs {
            self.intercepts.push(Weight { value: reader.number()?, squares: reader.number()? });
            columns.push((reader.row(self.slots)?, reader.row(self.slots)?));
        }
        self.scores.resize(outputs, 0.0);
        self.weights = (0..self.slots)
            .flat_map(|slot| columns.iter().map(move |(values, squares)| Weight { value: values[slot], squares: squares[slot] }))
            .collect();
        Ok(slots)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Additive {
        let mut model = Additive::new(8, 0.3);
        model.add_number();
        let slot = model.add_category();
        for number in 0..300 {
            model.begin();
            model.number(0, f64::from(number % 10));
            if number % 3 == 0 {
                model.category(slot);
            }
            model.finish();
            model.errors = vec![model.scores[0] - f64::from(number % 10 / 5)];
            model.learn();
        }
        model
    }

    #[test]
    fn it_learns_a_function_of_a_number() {
        let mut model = trained();
        for (value, expected) in [(1.0, 0.0), (8.0, 1.0)] {
            model.begin();
            model.number(0, value);
            model.finish();
            assert!((model.scores[0] - expected).abs() < 0.2, "{:?}", model.scores);
        }
    }

    #[test]
    fn what_was_written_is_read_and_damage_is_an_error() {
        let model = trained();
        let mut to = Writer::default();
        model.write(&mut to, [8].into_iter());
        let (counts, floats) = to.block();
        let mut other = Additive::new(8, 0.3);
        let mut reader = Reader::new(&counts, &floats).unwrap();
        assert_eq!(other.read(&mut reader, 1, 1, 1), Ok(vec![8]));
        assert_eq!(reader.end(), Ok(()));
        let mut again = Writer::default();
        other.write(&mut again, [8].into_iter());
        assert_eq!(again.block(), (counts.clone(), floats.clone()));
        for cut in 0..floats.len() / 8 {
            let mut reader = Reader::new(&counts, &floats[..8 * cut]).unwrap();
            assert_eq!(Additive::new(8, 0.3).read(&mut reader, 1, 1, 1), Err(Damaged));
        }
    }

    #[test]
    fn a_third_class_leaves_the_probabilities_of_the_others() {
        let mut model = trained();
        model.begin();
        model.number(0, 3.0);
        model.finish();
        let (mut two, mut three) = (vec![], vec![]);
        softmax(&model.scores, &mut two);
        model.add_class(2);
        softmax(&model.scores, &mut three);
        assert!((two[1] / two[0] - three[1] / three[0]).abs() < 1e-12);
        assert_eq!(three.len(), 3);
    }
}
