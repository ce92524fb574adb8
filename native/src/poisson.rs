//! A Poisson distribution to draw from: see `stream_retrain/models/poisson.py`.

use crate::arithmetic::exp;
use crate::generator::Generator;

pub struct Poisson {
    /// By number, the probability of at most so many.
    at_most: Vec<f64>,
}

impl Poisson {
    /// The mean is above 0 and at most 100.
    pub fn new(mean: f64) -> Poisson {
        let (mut p, mut number) = (exp(-mean), 0.0);
        let (mut sum, mut at_most) = (p, vec![p]);
        while number < mean || sum + p > sum {
            number += 1.0;
            p = p * mean / number;
            sum += p;
            at_most.push(sum);
        }
        Poisson { at_most }
    }

    /// A whole number, by inversion.
    #[inline]
    pub fn draw(&self, generator: &mut Generator) -> f64 {
        let u = generator.unit();
        self.at_most.iter().position(|&sum| u < sum).unwrap_or(self.at_most.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_drawn_as_often_as_they_are_probable() {
        let (poisson, mut generator, mut drawn) = (Poisson::new(6.0), Generator::new(3), [0; 40]);
        (0..100_000).for_each(|_| drawn[poisson.draw(&mut generator) as usize] += 1);
        let mean = drawn.iter().enumerate().map(|(number, &count)| number as f64 * f64::from(count)).sum::<f64>() / 1e5;
        assert!((mean - 6.0).abs() < 0.05, "{mean}");
        assert!((15_600..16_500).contains(&drawn[6]) && (190..310).contains(&drawn[0]), "{drawn:?}");
    }
}
