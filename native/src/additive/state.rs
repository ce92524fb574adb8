//! The state of an additive model: `Bins.write` and `PlainAdditive.write` say what is written.

use super::Additive;
use crate::block::{Damaged, Read, Reader, Writer};
use crate::moments::Moments;
use crate::weight::Weight;

impl Additive {
    pub fn write(&self, to: &mut Writer, categories: impl Iterator<Item = u32>) {
        to.count(self.slots);
        self.moments.iter().for_each(|moments| moments.write(to));
        categories.for_each(|slot| to.count(slot as usize));
        to.count(self.outputs);
        for output in 0..self.outputs {
            to.row(&[self.intercepts[output].value, self.intercepts[output].squares]);
            let of_output = || self.weights.iter().skip(output).step_by(self.outputs);
            of_output().for_each(|weight| to.number(weight.value));
            of_output().for_each(|weight| to.number(weight.squares));
        }
        if let Some(pairs) = &self.pairs {
            pairs.write(to);
        }
    }

    /// What `write` wrote, into a new model, by how many numbers there are, and values of each feature of categories; their slots.
    pub fn read(&mut self, reader: &mut Reader, numbers: usize, categories: &[usize], outputs: usize) -> Read<Vec<Vec<u32>>> {
        self.slots = reader.count()?;
        for _ in 0..numbers {
            self.moments.push(Moments::read(reader, self.parameters.bins, self.slots)?);
        }
        let mut slots = vec![];
        for &count in categories {
            slots.push((0..count).map(|_| Ok(reader.below(self.slots)? as u32)).collect::<Read<Vec<u32>>>()?);
        }
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
        if let Some(pairs) = &mut self.pairs {
            let bases: Vec<u32> = self.moments.iter().map(|moments| moments.base).collect();
            pairs.read(reader, &bases, &slots, self.slots)?;
        }
        Ok(slots)
    }
}
