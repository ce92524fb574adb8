//! A model's numbers as one state: see `stream_retrain/models/block.py`, which writes the same bytes.
//!
//! A reader believes nothing: what is missing, left over or out of range is `Damaged`.

/// The state of this model is shorter, longer or otherwise than such a model writes it.
#[derive(Debug, PartialEq)]
pub struct Damaged;

pub type Read<T> = Result<T, Damaged>;

/// Collects counts and floats.
#[derive(Default)]
pub struct Writer {
    counts: Vec<u8>,
    floats: Vec<u8>,
}

impl Writer {
    pub fn count(&mut self, value: usize) {
        // Everything that is counted has a limit far below 2^32.
        self.counts.extend_from_slice(&(value as u32).to_le_bytes());
    }

    pub fn number(&mut self, value: f64) {
        self.floats.extend_from_slice(&value.to_le_bytes());
    }

    pub fn row(&mut self, values: &[f64]) {
        self.floats.reserve(8 * values.len());
        values.iter().for_each(|&value| self.number(value));
    }

    /// Counts and floats as bytes.
    pub fn block(self) -> (Vec<u8>, Vec<u8>) {
        (self.counts, self.floats)
    }
}

/// Gives counts and floats back in the order in which they were written.
pub struct Reader<'a> {
    counts: &'a [u8],
    floats: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(counts: &'a [u8], floats: &'a [u8]) -> Read<Reader<'a>> {
        if counts.len() % 4 != 0 || floats.len() % 8 != 0 {
            return Err(Damaged);
        }
        Ok(Reader { counts, floats })
    }

    pub fn count(&mut self) -> Read<usize> {
        let (first, rest) = self.counts.split_first_chunk::<4>().ok_or(Damaged)?;
        self.counts = rest;
        Ok(u32::from_le_bytes(*first) as usize)
    }

    /// A count less than `below`.
    pub fn below(&mut self, below: usize) -> Read<usize> {
        let count = self.count()?;
        if count < below {
            Ok(count)
        } else {
            Err(Damaged)
        }
    }

    pub fn flag(&mut self) -> Read<bool> {
        Ok(self.below(2)? == 1)
    }

    pub fn number(&mut self) -> Read<f64> {
        let (first, rest) = self.floats.split_first_chunk::<8>().ok_or(Damaged)?;
        self.floats = rest;
        Ok(f64::from_le_bytes(*first))
    }

    pub fn row(&mut self, length: usize) -> Read<Vec<f64>> {
        if length > self.floats.len() / 8 {
            return Err(Damaged);
        }
        (0..length).map(|_| self.number()).collect()
    }

    /// Nothing may be left.
    pub fn end(self) -> Read<()> {
        if self.counts.is_empty() && self.floats.is_empty() {
            Ok(())
        } else {
            Err(Damaged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let mut to = Writer::default();
        to.count(7);
        to.row(&[1.5, -0.0]);
        let (counts, floats) = to.block();
        let mut reader = Reader::new(&counts, &floats).unwrap();
        assert_eq!(reader.below(7), Err(Damaged));
        let mut reader = Reader::new(&counts, &floats).unwrap();
        assert_eq!(reader.count(), Ok(7));
        assert_eq!(reader.row(3), Err(Damaged));
        assert_eq!(reader.row(2), Ok(vec![1.5, -0.0]));
        assert_eq!((reader.count(), reader.number().is_err()), (Err(Damaged), true));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(Reader::new(&counts, &floats).unwrap().end(), Err(Damaged));
        assert!(Reader::new(&counts[1..], &floats).is_err());
    }
}
