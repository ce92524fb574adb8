//! What a leaf keeps of one feature: see `stream_retrain/models/tree_observers.py`.

use crate::arithmetic::{erf, log, log_of_two};

const HALF_LOG_TAU: f64 = 0.9189385332046727;
const ROOT_TWO: f64 = std::f64::consts::SQRT_2;

/// The values of a number in one class.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct Cell {
    pub count: f64,
    pub mean: f64,
    pub squares: f64,
    pub low: f64,
    pub high: f64,
    /// -2 times the variance; 0 while there is none.
    negative_twice: f64,
    /// Half the logarithm of the variance.
    half_log: f64,
    /// How many classes had a value before.
    pub rank: u32,
}

impl Cell {
    pub fn start(&mut self, value: f64, rank: u32) {
        (self.low, self.high, self.rank) = (value, value, rank);
    }

    /// Add a value; `settle_all` has to follow.
    #[inline]
    pub fn update(&mut self, value: f64, w: f64) {
        if value < self.low {
            self.low = value;
        } else if value > self.high {
            self.high = value;
        }
        self.count += w;
        let before = self.mean;
        self.mean = before + (w / self.count) * (value - before);
        self.squares += w * (value - before) * (value - self.mean);
    }

    /// Compute what follows from count and squares.
    pub fn settle_all(cells: &mut [Cell]) {
        let mut pairs = cells.chunks_exact_mut(2);
        for pair in &mut pairs {
            let variances = [pair[0].variance(), pair[1].variance()];
            let logs = log_of_two(variances);
            pair[0].settle(variances[0], logs[0]);
            pair[1].settle(variances[1], logs[1]);
        }
        for cell in pairs.into_remainder() {
            let variance = cell.variance();
            cell.settle(variance, log(variance));
        }
    }

    #[inline(always)]
    fn settle(&mut self, variance: f64, log: f64) {
        if variance > 0.0 {
            self.negative_twice = -2.0 * variance;
            self.half_log = 0.5 * log;
        } else {
            self.negative_twice = 0.0;
        }
    }

    #[inline(always)]
    fn variance(&self) -> f64 {
        if self.count > 1.0 {
            self.squares / (self.count - 1.0)
        } else {
            0.0
        }
    }

    /// The logarithm of the value's density; 0 where there is no variance yet.
    #[inline(always)]
    pub fn evidence(&self, value: f64) -> f64 {
        if self.negative_twice == 0.0 {
            return 0.0;
        }
        let off = value - self.mean;
        off * off / self.negative_twice - HALF_LOG_TAU - self.half_log
    }

    pub fn deviation(&self) -> f64 {
        self.variance().sqrt()
    }

    /// The weight of the values up to this one; 0 while all values were equal.
    #[inline]
    pub fn below(&self, value: f64, deviation: f64) -> f64 {
        let part = if deviation != 0.0 { 0.5 * (1.0 + erf((value - self.mean) / deviation / ROOT_TWO)) } else { 0.0 };
        part * self.count
    }
}

/// Of a category: the weight of each value in each class of the leaf.
#[derive(Default)]
pub struct Counts {
    /// By class; 0 where there is none.
    pub totals: Vec<f64>,
    /// By class and category.
    pub weights: Vec<Vec<f64>>,
}

impl Counts {
    pub fn update(&mut self, category: usize, class: usize, w: f64) {
        *self.at(category, class) += w;
        self.totals[class] += w;
    }

    pub fn at(&mut self, category: usize, class: usize) -> &mut f64 {
        if self.totals.len() <= class {
            self.totals.resize(class + 1, 0.0);
            self.weights.resize_with(class + 1, Vec::new);
        }
        let weights = &mut self.weights[class];
        if weights.len() <= category {
            weights.resize(category + 1, 0.0);
        }
        &mut weights[category]
    }

    pub fn weight(&self, category: usize, class: usize) -> f64 {
        self.weights.get(class).and_then(|weights| weights.get(category)).copied().unwrap_or(0.0)
    }

    /// The logarithm of the value's part of a class; 0 where it has none yet.
    #[inline]
    pub fn evidence(&self, value: f64, class: usize) -> f64 {
        if value < 0.0 {
            return 0.0;
        }
        let weight = self.weight(value as usize, class);
        if weight > 0.0 {
            log(weight / self.totals[class])
        } else {
            0.0
        }
    }
}
