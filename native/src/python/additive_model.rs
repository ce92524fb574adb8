//! Names and categories around the weights of an additive model, which both tasks share.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::values::{Kind, Table, Value};
use super::{listed, Block, Names};
use crate::additive::{Additive, Parameters};
use crate::block::{Damaged, Reader, Writer};

pub type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

/// The fields of `Parameters` in their order.
pub type Given = (usize, f64, usize, f64, usize, usize, u64);

/// The categories that are kept of one feature.
struct Kept {
    /// By value, its place in `held`.
    places: Py<PyDict>,
    held: Vec<Held>,
}

struct Held {
    value: Py<PyAny>,
    slot: u32,
    /// When it was last learned.
    learned: u64,
}

pub struct Model {
    pub additive: Additive,
    parameters: Parameters,
    numbers: Table,
    names: Table,
    kept: Vec<Kept>,
    learned: u64,
    /// Of the event that is learned next, which was scored: whether every value has slots.
    pub next: Option<bool>,
}

impl Model {
    pub fn given(py: Python, (bins, rate, categories_max, decay, pairs, pair_bins, seed): Given) -> Model {
        Model::new(py, Parameters { bins, rate, categories_max, decay, pairs, pair_bins, seed })
    }

    fn new(py: Python, parameters: Parameters) -> Model {
        let (numbers, names) = (Table::new(py), Table::new(py));
        Model { additive: Additive::new(parameters), parameters, numbers, names, kept: vec![], learned: 0, next: None }
    }

    pub fn untrained(&self, py: Python) -> Model {
        Model::new(py, self.parameters)
    }

    /// Encode and score an event; whether every value has slots.
    pub fn score(&mut self, values: &[Value]) -> PyResult<bool> {
        self.additive.begin();
        let (mut complete, mut hint) = (true, 0);
        for value in values {
            if value.kind == Kind::Number {
                match self.numbers.find_near(&value.name, hint)? {
                    Some(feature) => {
                        self.additive.number(feature, value.number);
                        hint = feature as usize + 1;
                    }
                    None => complete = false,
                }
            } else {
                match self.slot(value)? {
                    Some(slot) => self.additive.category(slot),
                    None => complete = false,
                }
            }
        }
        self.additive.finish();
        Ok(complete)
    }

    fn slot(&self, value: &Value) -> PyResult<Option<u32>> {
        let Some(feature) = self.names.find(&value.name)? else {
            return Ok(None);
        };
        let object = &value.object;
        let kept = &self.kept[feature as usize];
        let place = kept.places.bind(object.py()).get_item(object)?;
        place.map(|place| Ok(kept.held[place.extract::<usize>()?].slot)).transpose()
    }

    /// Give slots to every value, and mark the categories as the most recent.
    fn admit(&mut self, values: &[Value]) -> PyResult<()> {
        for value in values {
            if value.kind != Kind::Number {
                self.admit_category(&value.name, &value.object)?;
            } else if self.numbers.find(&value.name)?.is_none() {
                self.numbers.add(&value.name)?;
                self.additive.add_number();
            }
        }
        self.additive.choose_pairs();
        Ok(())
    }

    fn admit_category(&mut self, name: &Bound<PyAny>, value: &Bound<PyAny>) -> PyResult<()> {
        let py = name.py();
        let feature = match self.names.find(name)? {
            Some(feature) => feature,
            None => {
                self.kept.push(Kept { places: PyDict::new(py).unbind(), held: vec![] });
                self.additive.add_names();
                self.names.add(name)?
            }
        };
        self.learned += 1;
        let (kept, learned) = (&mut self.kept[feature as usize], self.learned);
        let places = kept.places.bind(py);
        if let Some(place) = places.get_item(value)? {
            // An equal value may be another object: the one that came last is in the state, as in Python.
            let held = &mut kept.held[place.extract::<usize>()?];
            (held.value, held.learned) = (value.clone().unbind(), learned);
            return Ok(());
        }
        if kept.held.len() < self.parameters.categories_max {
            places.set_item(value, kept.held.len())?;
            let slot = self.additive.add_category(feature, kept.held.len());
            kept.held.push(Held { value: value.clone().unbind(), slot, learned });
            return Ok(());
        }
        let Some((place, oldest)) = kept.held.iter_mut().enumerate().min_by_key(|each| each.1.learned) else {
            return Ok(());
        };
        places.del_item(&oldest.value)?;
        places.set_item(value, place)?;
        self.additive.reuse(oldest.slot);
        (oldest.value, oldest.learned) = (value.clone().unbind(), learned);
        Ok(())
    }

    /// Learn the event that was scored last, by the errors of its outputs.
    pub fn learn(&mut self, values: &[Value], complete: bool) -> PyResult<()> {
        if !complete || values.iter().any(|value| value.kind != Kind::Number) {
            self.admit(values)?;
            if !complete {
                self.score(values)?;
            }
        }
        self.additive.learn();
        Ok(())
    }

    /// The categories of a feature, the least recently learned first.
    fn by_time(kept: &Kept) -> Vec<&Held> {
        let mut held: Vec<&Held> = kept.held.iter().collect();
        held.sort_by_key(|each| each.learned);
        held
    }

    pub fn state<'py>(&self, py: Python<'py>, labels: &Names, mut to: Writer) -> PyResult<State<'py>> {
        let slots = self.kept.iter().flat_map(|kept| Self::by_time(kept).into_iter().map(|held| held.slot));
        self.additive.write(&mut to, slots);
        let categories = PyList::empty(py);
        for (name, kept) in self.names.names.iter().zip(&self.kept) {
            let held: Names = Self::by_time(kept).into_iter().map(|held| held.value.clone_ref(py)).collect();
            categories.append((name, held))?;
        }
        Ok((listed(py, &self.numbers.names)?, categories, listed(py, labels)?, Block::written(py, to)?.into_any()))
    }

    pub fn restore(&mut self, state: &State, mut reader: Reader, outputs: usize) -> PyResult<()> {
        let py = state.0.py();
        *self = self.untrained(py);
        self.numbers = Table::of(py, state.0.as_any())?;
        let mut tables = vec![];
        for item in state.1.iter() {
            let (name, values) = item.extract::<(Bound<PyAny>, Bound<PyAny>)>().map_err(|_| Damaged)?;
            if self.names.find(&name)?.is_some() {
                return Err(Damaged.into());
            }
            self.names.add(&name)?;
            tables.push(Table::of(py, &values)?);
        }
        let categories: Vec<usize> = tables.iter().map(|table| table.names.len()).collect();
        let slots = self.additive.read(&mut reader, self.numbers.names.len(), &categories, outputs)?;
        reader.end()?;
        for (Table { names, numbers }, slots) in tables.into_iter().zip(slots) {
            let mut held = vec![];
            for (value, slot) in names.into_iter().zip(slots) {
                self.learned += 1;
                held.push(Held { value, slot, learned: self.learned });
            }
            self.kept.push(Kept { places: numbers, held });
        }
        Ok(())
    }
}
