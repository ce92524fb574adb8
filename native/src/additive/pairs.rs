//! Which pairs of features have weights, and the slots of an event in them: see `stream_retrain/models/pairs.py`.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::{Damaged, Read, Reader, Writer};
use crate::generator::Generator;

const VALUES_MAX: usize = 12;

/// Two numbers: the lowest of their four slots, how many slots the next row is away, and the weights of the upper row and column.
#[derive(Clone, Copy)]
pub struct Grid {
    pub slot: u32,
    pub across: u32,
    pub upper: f64,
    pub right: f64,
}

impl Grid {
    /// The parts of its four slots.
    #[inline(always)]
    pub fn parts(&self) -> [f64; 4] {
        let (lower, left) = (1.0 - self.upper, 1.0 - self.right);
        [lower * left, lower * self.right, self.upper * left, self.upper * self.right]
    }
}

/// A slot and its part.
#[derive(Clone, Copy)]
pub struct Part {
    pub slot: u32,
    pub part: f64,
}

/// Two features by their numbers, the first slot of their block, and how long a row of it is.
#[derive(Clone, Copy)]
struct Pair {
    first: u32,
    second: u32,
    base: u32,
    across: u32,
}

/// Where a feature of an event is: between two bins, or at a category.
#[derive(Clone, Copy)]
struct Met {
    /// The event in which it was met last.
    event: u64,
    place: u32,
    /// The weight of the upper bin; less than 0 for a category.
    upper: f64,
}

const CATEGORY: f64 = -1.0;

pub struct Pairs {
    pairs: Vec<Pair>,
    pairs_max: usize,
    bins: usize,
    values: usize,
    half: f64,
    generator: Generator,
    /// Of each feature, how many places it has.
    sizes: Vec<usize>,
    /// The number of each numeric feature, and of each feature of categories.
    numbers: Vec<u32>,
    categories: Vec<u32>,
    /// By slot: the first one of a number has its feature and 0, one of a category its feature and its place.
    places: Vec<Option<(u32, u32)>>,
    /// The features whose pairs with each other were candidates.
    paired: usize,
    event: u64,
    met: Vec<Met>,
}

impl Pairs {
    pub fn new(pairs_max: usize, bins: usize, categories_max: usize, seed: u64) -> Pairs {
        Pairs {
            pairs: vec![],
            pairs_max,
            bins,
            values: VALUES_MAX.min(categories_max),
            half: 0.5 * (bins as f64 - 1.0) * (1.0 - 1e-12),
            generator: Generator::new(seed),
            sizes: vec![],
            numbers: vec![],
            categories: vec![],
            places: vec![],
            paired: 0,
            event: 0,
            met: vec![],
        }
    }

    /// A new numeric feature with its first slot.
    pub fn add_number(&mut self, base: u32) {
        let feature = self.add_feature(self.bins);
        self.numbers.push(feature);
        self.place(base, feature, 0);
    }

    /// A new feature of categories.
    pub fn add_names(&mut self) {
        let feature = self.add_feature(self.values);
        self.categories.push(feature);
    }

    /// The slot of a new value of a feature of categories that had `before` values.
    pub fn add_value(&mut self, number: u32, before: usize, slot: u32) {
        if before < self.values {
            self.place(slot, self.categories[number as usize], before as u32);
        }
    }

    fn add_feature(&mut self, size: usize) -> u32 {
        self.sizes.push(size);
        self.met.push(Met { event: 0, place: 0, upper: 0.0 });
        self.sizes.len() as u32 - 1
    }

    fn place(&mut self, slot: u32, feature: u32, place: u32) {
        let at = slot as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, None);
        }
        self.places[at] = Some((feature, place));
    }

    /// The slots, in all pairs, of the place of a category.
    pub fn slots_of(&self, slot: u32) -> Vec<usize> {
        let mut slots = vec![];
        let Some(&Some((feature, place))) = self.places.get(slot as usize) else {
            return slots;
        };
        for &Pair { first, second, base, across } in &self.pairs {
            let rows = self.sizes[first as usize] as u32;
            if first == feature {
                slots.extend((0..across).map(|column| (base + place * across + column) as usize));
            } else if second == feature {
                slots.extend((0..rows).map(|row| (base + place + row * across) as usize));
            }
        }
        slots
    }

    /// Take pairs of the features that have come; the number of slots with theirs.
    pub fn choose(&mut self, mut slots: usize) -> usize {
        let (mut second, features) = (self.paired, self.sizes.len());
        if second == features {
            return slots;
        }
        self.paired = features;
        let before = triangle(second);
        let count = triangle(features) - before;
        let free = self.pairs_max - self.pairs.len();
        let chosen: Vec<usize> = if count <= free { (0..count).collect() } else { self.drawn(free, count) };
        for candidate in chosen {
            let number = before + candidate;
            while number >= triangle(second + 1) {
                second += 1;
            }
            let (first, across) = (number - triangle(second), self.sizes[second]);
            self.pairs.push(Pair { first: first as u32, second: second as u32, base: slots as u32, across: across as u32 });
            slots += self.sizes[first] * across;
        }
        slots
    }

    /// `wanted` of the first `count` whole numbers, in order.
    fn drawn(&mut self, wanted: usize, count: usize) -> Vec<usize> {
        let mut drawn = BTreeSet::new();
        for last in count - wanted..count {
            let number = self.generator.below(last + 1);
            if !drawn.insert(number) {
                drawn.insert(last);
            }
        }
        drawn.into_iter().collect()
    }

    /// Begin an event; its numbers and categories follow, then `finish`.
    pub fn begin(&mut self) {
        self.event += 1;
    }

    /// The squashed value of a number of the event.
    #[inline]
    pub fn number(&mut self, number: u32, squashed: f64) {
        let position = self.half + self.half * squashed;
        let place = position as u32;
        let feature = self.numbers[number as usize] as usize;
        self.met[feature] = Met { event: self.event, place, upper: position - f64::from(place) };
    }

    /// The slot of a category of the event.
    pub fn category(&mut self, slot: u32) {
        if let Some(&Some((feature, place))) = self.places.get(slot as usize) {
            self.met[feature as usize] = Met { event: self.event, place, upper: CATEGORY };
        }
    }

    /// The pairs of two numbers, and the parts of the other ones.
    pub fn finish(&self, grids: &mut Vec<Grid>, parts: &mut Vec<Part>) {
        for &Pair { first, second, base, across } in &self.pairs {
            let (row, column) = (self.met[first as usize], self.met[second as usize]);
            if row.event != self.event || column.event != self.event {
                continue;
            }
            let slot = base + row.place * across + column.place;
            match (row.upper == CATEGORY, column.upper == CATEGORY) {
                (false, false) => grids.push(Grid { slot, across, upper: row.upper, right: column.upper }),
                (true, true) => parts.push(Part { slot, part: 1.0 }),
                (true, false) => parts.extend(linear(slot, 1, column.upper)),
                (false, true) => parts.extend(linear(slot, across, row.upper)),
            }
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.pairs.len());
        for pair in &self.pairs {
            [pair.first, pair.second, pair.base].into_iter().for_each(|each| to.count(each as usize));
        }
        self.generator.write(to);
    }

    /// What `write` wrote, by the first slot of each number, the slots of each feature of categories, and the number of all slots.
    pub fn read(&mut self, reader: &mut Reader, numbers: &[u32], categories: &[Vec<u32>], slots: usize) -> Read<()> {
        let mut by_first: BTreeMap<u32, (bool, usize)> = numbers.iter().enumerate().map(|(number, &base)| (base, (true, number))).collect();
        for (number, of_values) in categories.iter().enumerate() {
            by_first.insert(*of_values.iter().min().ok_or(Damaged)?, (false, number));
        }
        self.numbers.resize(numbers.len(), 0);
        self.categories.resize(categories.len(), 0);
        for (first, (is_number, number)) in by_first {
            if is_number {
                self.numbers[number] = self.add_feature(self.bins);
                self.place(first, self.numbers[number], 0);
                continue;
            }
            self.categories[number] = self.add_feature(self.values);
            let mut of_values = categories[number].clone();
            of_values.sort_unstable();
            of_values.into_iter().enumerate().for_each(|(before, slot)| self.add_value(number as u32, before, slot));
        }
        let of_categories = categories.iter().map(|of_values| of_values.len().min(self.values)).sum::<usize>();
        if self.places.iter().flatten().count() != numbers.len() + of_categories {
            return Err(Damaged);
        }
        self.paired = self.sizes.len();
        for _ in 0..reader.below(self.pairs_max + 1)? {
            let (first, second, base) = (reader.below(self.paired)?, reader.below(self.paired)?, reader.below(slots)?);
            let across = self.sizes[second];
            if first >= second || base + self.sizes[first] * across > slots {
                return Err(Damaged);
            }
            self.pairs.push(Pair { first: first as u32, second: second as u32, base: base as u32, across: across as u32 });
        }
        self.generator = Generator::read(reader)?;
        Ok(())
    }
}

/// A number and a category.
fn linear(slot: u32, across: u32, upper: f64) -> [Part; 2] {
    [Part { slot, part: 1.0 - upper }, Part { slot: slot + across, part: upper }]
}

/// The pairs of so many features.
fn triangle(features: usize) -> usize {
    features * features.saturating_sub(1) / 2
}
