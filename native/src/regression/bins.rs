//! What a leaf keeps of one feature: see `stream_retrain/models/tree_bins.py` and `Categories` in `tree_targets.py`.

use super::moments::{merit, Moments, LEAST};
use crate::block::{Damaged, Read, Reader, Writer};
use crate::nodes::By;

pub const BINS_MAX: usize = 64;
const WIDTH: f64 = 0.01;

/// A split that was considered.
pub struct Split {
    pub merit: f64,
    pub by: By,
    pub children: Vec<Moments>,
}

impl Split {
    pub fn none() -> Split {
        Split { merit: f64::NEG_INFINITY, by: By::Nothing, children: vec![] }
    }
}

/// Of one number.
pub struct Bins {
    most: usize,
    width: f64,
    /// By upper edge, in widths: an integer of any size, which a float holds exactly.
    bins: Vec<(f64, Moments)>,
}

impl Default for Bins {
    fn default() -> Bins {
        Bins::of(WIDTH, BINS_MAX)
    }
}

impl Bins {
    /// At most so many, of a width.
    pub fn of(width: f64, most: usize) -> Bins {
        Bins { most, width, bins: vec![] }
    }

    /// Add a target under its feature's value.
    pub fn update(&mut self, value: f64, target: f64, w: f64) {
        let edge = (value / self.width).ceil() + 0.0; // no negative zero
        let at = self.bins.partition_point(|each| each.0 < edge);
        if self.bins.get(at).is_none_or(|each| each.0 != edge) {
            self.bins.insert(at, (edge, Moments::default()));
            self.bins[at].1.add(target, w);
            while self.bins.len() > self.most {
                self.widen();
            }
        } else {
            self.bins[at].1.add(target, w);
        }
    }

    /// A value, or the nearest one that is at most so many bins from 0.
    #[inline]
    pub fn near(&self, value: f64, bins: f64) -> f64 {
        let far = bins * self.width;
        let value = if value < far { value } else { far };
        if value > -far {
            value
        } else {
            -far
        }
    }

    /// Make bins twice as wide, or as often as it takes until two of them may meet.
    fn widen(&mut self) {
        let nearest = self.bins.windows(2).map(|pair| bits_less_one(pair[0].0, pair[1].0)).min().unwrap_or(1);
        let doublings = nearest.max(1);
        let scale = 2f64.powi(doublings);
        let mut merged: Vec<(f64, Moments)> = vec![];
        for (edge, moments) in &self.bins {
            let place = (edge / scale).ceil() + 0.0;
            match merged.last_mut() {
                Some(last) if last.0 == place => last.1 = last.1.with(moments),
                _ => merged.push((place, Moments::default().with(moments))),
            }
        }
        (self.bins, self.width) = (merged, scale * self.width);
    }

    /// The best split between two bins, of all the targets of the leaf.
    pub fn best_split(&self, total: &Moments, scratch: &mut Vec<Moments>) -> Split {
        let above = scratch;
        above.clear();
        for (_, moments) in self.bins.iter().rev() {
            above.push(above.last().map_or(*moments, |last| last.with(moments)));
        }
        let (spread, mut best, mut at) = (total.variance(), f64::NEG_INFINITY, None);
        let mut below: Option<Moments> = None;
        for place in 0..self.bins.len().saturating_sub(1) {
            let left = below.map_or(self.bins[place].1, |below| below.with(&self.bins[place].1));
            below = Some(left);
            let right = above[self.bins.len() - 2 - place];
            let mut merit = 0.0;
            if left.count >= LEAST && right.count >= LEAST {
                merit = spread - left.count / total.count * left.variance() - right.count / total.count * right.variance();
            }
            if merit > best {
                (best, at) = (merit, Some((place, left, right)));
            }
        }
        match at {
            Some((place, left, right)) => Split { merit: best, by: By::Number(self.bins[place].0 * self.width), children: vec![left, right] },
            None => Split::none(),
        }
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.bins.len());
        to.number(self.width);
        for (edge, moments) in &self.bins {
            to.number(*edge);
            to.row(&moments.numbers());
        }
    }

    /// All targets in them.
    pub fn total(&self) -> Moments {
        self.bins.iter().fold(Moments::default(), |total, each| if total.count == 0.0 { each.1 } else { total.with(&each.1) })
    }

    /// What `write` wrote, of bins of which there are at most so many.
    pub fn read(reader: &mut Reader, most: usize) -> Read<Bins> {
        let count = reader.below(most + 1)?;
        let width = reader.number()?;
        if !(width > 0.0 && width < f64::INFINITY) {
            return Err(Damaged);
        }
        let mut bins: Vec<(f64, Moments)> = vec![];
        for _ in 0..count {
            let edge = reader.number()?;
            if !edge.is_finite() || edge != edge.trunc() || bins.last().is_some_and(|last| last.0 >= edge) {
                return Err(Damaged);
            }
            bins.push((edge, read_moments(reader)?));
        }
        Ok(Bins { most, width, bins })
    }
}

/// The bits of the exact difference of two whole numbers, less one; the second is the greater.
fn bits_less_one(low: f64, high: f64) -> i32 {
    let rounded = high - low;
    // What rounding left out, exactly (Knuth's two-sum).
    let virtual_low = high - rounded;
    let left_out = (high - (rounded + virtual_low)) + (virtual_low - low);
    let exponent = ((rounded.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    let is_power = rounded.to_bits() & 0x000F_FFFF_FFFF_FFFF == 0;
    exponent - i32::from(is_power && left_out < 0.0)
}

pub fn read_moments(reader: &mut Reader) -> Read<Moments> {
    Ok(Moments { count: reader.number()?, mean: reader.number()?, squares: reader.number()? })
}

/// Of one category: the targets of each value, by its number.
#[derive(Default)]
pub struct Categories(Vec<Option<Moments>>);

impl Categories {
    fn at(&mut self, category: usize) -> &mut Option<Moments> {
        if self.0.len() <= category {
            self.0.resize(category + 1, None);
        }
        &mut self.0[category]
    }

    pub fn update(&mut self, category: usize, target: f64, w: f64) {
        self.at(category).get_or_insert_default().add(target, w);
    }

    /// All targets in them.
    pub fn total(&self) -> Moments {
        self.0.iter().flatten().fold(Moments::default(), |total, each| if total.count == 0.0 { *each } else { total.with(each) })
    }

    /// A branch for each value, or for one value and one for the rest: what lowers the variance most.
    pub fn best_split(&self, total: &Moments, ranked: &[u32]) -> Split {
        let of = |category: u32| self.0.get(category as usize).copied().flatten();
        let known: Vec<(u32, Moments)> = ranked.iter().filter_map(|&category| Some((category, of(category)?))).collect();
        let mut best = Split::none();
        if known.len() > 2 {
            let children: Vec<Moments> = known.iter().map(|each| each.1).collect();
            best = Split { merit: merit(total, &children), by: By::Each(known.iter().map(|each| each.0).collect()), children };
        }
        for (category, moments) in known {
            let children = vec![moments, total.without(&moments)];
            let merit = merit(total, &children);
            if merit > best.merit {
                best = Split { merit, by: By::One(category), children };
            }
        }
        best
    }

    pub fn write(&self, to: &mut Writer) {
        to.count(self.0.iter().flatten().count());
        for (category, moments) in self.0.iter().enumerate() {
            if let Some(moments) = moments {
                to.count(category);
                to.row(&moments.numbers());
            }
        }
    }

    pub fn read(reader: &mut Reader, known: usize) -> Read<Categories> {
        let mut categories = Categories::default();
        for _ in 0..reader.below(known + 1)? {
            let category = reader.below(known)?;
            *categories.at(category) = Some(read_moments(reader)?);
        }
        Ok(categories)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_a_difference_are_exact() {
        for (low, high, expected) in
            [(1.0, 2.0, 0), (-3.0, 5.0, 3), (0.0, 7.0, 2), (1.0, 2f64.powi(60), 59), (-1.0, 2f64.powi(60), 60), (2f64.powi(59), 2f64.powi(60), 59)]
        {
            assert_eq!(bits_less_one(low, high), expected, "{low} {high}");
        }
    }

    #[test]
    fn there_are_never_more_bins_than_allowed_and_their_targets_are_all_there() {
        let mut bins = Bins::default();
        for number in 0..3000 {
            bins.update(f64::from(number % 700) * 10f64.powi(number % 9), f64::from(number % 7), 1.0);
            assert!(bins.bins.len() <= BINS_MAX);
            assert!(bins.bins.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        assert_eq!(bins.bins.iter().map(|each| each.1.count).sum::<f64>(), 3000.0);
        let mut to = Writer::default();
        bins.write(&mut to);
        let (counts, floats) = to.block();
        let mut reader = Reader::new(&counts, &floats).unwrap();
        assert_eq!(Bins::read(&mut reader, BINS_MAX).unwrap().bins, bins.bins);
        assert_eq!(reader.end(), Ok(()));
    }
}
