//! A generator of random numbers for models that draw: see `stream_retrain/models/generator.py`.

use crate::block::{Damaged, Read, Reader, Writer};

const UNIT: f64 = 1.0 / 9_007_199_254_740_992.0;

#[derive(Clone, Debug, PartialEq)]
pub struct Generator(u64);

impl Generator {
    /// The bits of the seed are spread over the state, so that small seeds differ at once.
    pub fn new(seed: u64) -> Generator {
        let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
        Generator(if state == 0 { 1 } else { state })
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait)] // it has no end, and so is no iterator
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number of at least 0 and less than 1, a multiple of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * UNIT
    }

    /// A whole number of at least 0 and less than `limit`, which is at most 2^52.
    #[inline]
    pub fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }

    pub fn write(&self, to: &mut Writer) {
        to.count((self.0 & 0xFFFF_FFFF) as usize);
        to.count((self.0 >> 32) as usize);
    }

    /// What `write` wrote.
    pub fn read(reader: &mut Reader) -> Read<Generator> {
        let (lower, upper) = (reader.count()? as u64, reader.count()? as u64);
        match lower | upper << 32 {
            0 => Err(Damaged),
            state => Ok(Generator(state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_a_limit_is_drawn_as_often() {
        let (mut generator, mut drawn) = (Generator::new(1), [0; 7]);
        (0..70_000).for_each(|_| drawn[generator.below(7)] += 1);
        assert!(drawn.iter().all(|count| (9_600..10_400).contains(count)), "{drawn:?}");
    }

    #[test]
    fn it_goes_on_from_its_state_and_refuses_one_that_draws_nothing() {
        let mut generator = Generator::new(7);
        generator.next();
        let mut to = Writer::default();
        generator.write(&mut to);
        let (counts, floats) = to.block();
        let read = Generator::read(&mut Reader::new(&counts, &floats).unwrap()).unwrap();
        assert_eq!(read, generator);
        assert_eq!(Generator::read(&mut Reader::new(&[0; 8], &[]).unwrap()), Err(Damaged));
    }
}
