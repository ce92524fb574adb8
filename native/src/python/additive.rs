//! The cores of the additive models: `stream_retrain/models/additive_cores.py` has the same ones in Python.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::labels::Labels;
use super::member::{ClassifierMember, RegressorMember};
use super::step::{classify, regress, Classifies, Regresses, Wanted};
use super::values::{target, values, Kind, Table, Value};
use super::{listed, Block, Names};
use crate::additive::{softmax, Additive};
use crate::block::{Damaged, Reader, Writer};
use crate::targets::Targets;

type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

/// A regression error counts as at most this many standard deviations of the target.
const ERROR_MAX: f64 = 3.0;

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

/// Names and categories around the weights, which both tasks share.
struct Model {
    additive: Additive,
    bins: usize,
    rate: f64,
    categories_max: usize,
    numbers: Table,
    names: Table,
    kept: Vec<Kept>,
    learned: u64,
    /// Of the event that is learned next, which was scored: whether every value has slots.
    next: Option<bool>,
}

impl Model {
    fn new(py: Python, bins: usize, rate: f64, categories_max: usize) -> Model {
        let (numbers, names) = (Table::new(py), Table::new(py));
        Model { additive: Additive::new(bins, rate), bins, rate, categories_max, numbers, names, kept: vec![], learned: 0, next: None }
    }

    fn untrained(&self, py: Python) -> Model {
        Model::new(py, self.bins, self.rate, self.categories_max)
    }

    /// Encode and score an event; whether every value has slots.
    fn score(&mut self, values: &[Value]) -> PyResult<bool> {
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
        Ok(())
    }

    fn admit_category(&mut self, name: &Bound<PyAny>, value: &Bound<PyAny>) -> PyResult<()> {
        let py = name.py();
        let feature = match self.names.find(name)? {
            Some(feature) => feature,
            None => {
                self.kept.push(Kept { places: PyDict::new(py).unbind(), held: vec![] });
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
        if kept.held.len() < self.categories_max {
            places.set_item(value, kept.held.len())?;
            kept.held.push(Held { value: value.clone().unbind(), slot: self.additive.add_category(), learned });
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
    fn learn(&mut self, values: &[Value], complete: bool) -> PyResult<()> {
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

    fn state<'py>(&self, py: Python<'py>, labels: &Names, mut to: Writer) -> PyResult<State<'py>> {
        let slots = self.kept.iter().flat_map(|kept| Self::by_time(kept).into_iter().map(|held| held.slot));
        self.additive.write(&mut to, slots);
        let categories = PyList::empty(py);
        for (name, kept) in self.names.names.iter().zip(&self.kept) {
            let held: Names = Self::by_time(kept).into_iter().map(|held| held.value.clone_ref(py)).collect();
            categories.append((name, held))?;
        }
        Ok((listed(py, &self.numbers.names)?, categories, listed(py, labels)?, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, state: &State, mut reader: Reader, outputs: usize) -> PyResult<()> {
        let py = state.0.py();
        *self = Model::new(py, self.bins, self.rate, self.categories_max);
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
        let categories = tables.iter().map(|table| table.names.len()).sum();
        let slots = self.additive.read(&mut reader, self.numbers.names.len(), categories, outputs)?;
        reader.end()?;
        let mut slots = slots.into_iter();
        for Table { names, numbers } in tables {
            let mut held = vec![];
            for (value, slot) in names.into_iter().zip(slots.by_ref()) {
                self.learned += 1;
                held.push(Held { value, slot, learned: self.learned });
            }
            self.kept.push(Kept { places: numbers, held });
        }
        Ok(())
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct AdditiveClassifier {
    model: Model,
    labels: Labels,
}

impl AdditiveClassifier {
    /// The probability of every class, by its number.
    fn predict_values(&mut self, values: &[Value], proba: &mut Vec<f64>) -> PyResult<()> {
        self.model.next = None;
        self.model.next = Some(self.model.score(values)?);
        let classes = self.labels.0.names.len();
        if classes < 2 {
            proba.clear();
            proba.resize(classes, 1.0);
        } else {
            softmax(&self.model.additive.scores, proba);
        }
        Ok(())
    }

    pub fn learn_values(&mut self, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let complete = self.model.score(values)?;
        self.learn_scored(values, y, complete)
    }

    fn learn_scored(&mut self, values: &[Value], y: &Bound<PyAny>, complete: bool) -> PyResult<()> {
        let class = match self.labels.0.find_same(y)? {
            Some(class) => class as usize,
            None => {
                let class = self.labels.0.add(y)? as usize;
                self.model.additive.add_class(class);
                class
            }
        };
        let additive = &mut self.model.additive;
        if self.labels.0.names.len() < 2 {
            additive.errors.clear();
            additive.errors.push(0.0);
        } else {
            softmax(&additive.scores, &mut additive.errors);
            if additive.scores.len() == 1 {
                let error = additive.errors[1] - class as f64;
                additive.errors.truncate(1);
                additive.errors[0] = error;
            } else {
                additive.errors[class] -= 1.0;
            }
        }
        self.model.learn(values, complete)
    }
}

impl Classifies for AdditiveClassifier {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.predict_values(values, &mut to.scratch)?;
        let labels = &self.labels.0.names;
        to.extend(py, labels, 0..labels.len());
        Ok(())
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        match self.model.next.take() {
            Some(complete) => self.learn_scored(values, y, complete),
            None => self.learn_values(values, y),
        }
    }
}

impl ClassifierMember for AdditiveClassifier {
    fn learn_any(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(values, y)
    }

    fn untrained(&self, py: Python) -> PyResult<AdditiveClassifier> {
        Ok(AdditiveClassifier { model: self.model.untrained(py), labels: Labels(Table::new(py)) })
    }
}

#[pymethods]
impl AdditiveClassifier {
    #[new]
    fn new(py: Python, bins: usize, rate: f64, categories_max: usize) -> AdditiveClassifier {
        AdditiveClassifier { model: Model::new(py, bins, rate, categories_max), labels: Labels(Table::new(py)) }
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let mut proba = vec![];
        self.predict_values(&values(x)?, &mut proba)?;
        self.labels.proba(x.py(), 0..proba.len() as u32, &proba)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(&values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        self.model.state(py, &self.labels.0.names, Writer::default())
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        self.labels = Labels(Table::of(py, state.2.as_any())?);
        let classes = self.labels.0.names.len();
        let block = Block::of(&state.3)?;
        self.model.restore(&state, block.reader()?, if classes > 2 { classes } else { 1 })
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct AdditiveRegressor {
    model: Model,
    targets: Targets,
}

impl AdditiveRegressor {
    pub fn predict_values(&mut self, values: &[Value]) -> PyResult<f64> {
        self.model.next = None;
        self.model.next = Some(self.model.score(values)?);
        let targets = &self.targets;
        Ok(targets.clip(targets.mean + targets.deviation() * self.model.additive.scores[0]))
    }

    pub fn learn_values(&mut self, values: &[Value], y: f64) -> PyResult<()> {
        let complete = self.model.score(values)?;
        self.learn_scored(values, y, complete)
    }

    fn learn_scored(&mut self, values: &[Value], y: f64, complete: bool) -> PyResult<()> {
        let target = self.targets.usual(y);
        self.targets.update(target);
        let error = self.model.additive.scores[0] - (target - self.targets.mean) / self.targets.deviation();
        let error = if error < ERROR_MAX { error } else { ERROR_MAX };
        self.model.additive.errors.clear();
        self.model.additive.errors.push(if error > -ERROR_MAX { error } else { -ERROR_MAX });
        self.model.learn(values, complete)
    }
}

impl Regresses for AdditiveRegressor {
    fn predict_next(&mut self, _: Python, values: &[Value]) -> PyResult<f64> {
        self.predict_values(values)
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        match self.model.next.take() {
            Some(complete) => self.learn_scored(values, y, complete),
            None => self.learn_values(values, y),
        }
    }
}

impl RegressorMember for AdditiveRegressor {
    fn learn_any(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        self.learn_values(values, y)
    }

    fn untrained(&self, py: Python) -> PyResult<AdditiveRegressor> {
        Ok(AdditiveRegressor { model: self.model.untrained(py), targets: Targets::default() })
    }
}

#[pymethods]
impl AdditiveRegressor {
    #[new]
    fn new(py: Python, bins: usize, rate: f64, categories_max: usize) -> AdditiveRegressor {
        AdditiveRegressor { model: Model::new(py, bins, rate, categories_max), targets: Targets::default() }
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        self.predict_values(&values(x)?)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        let y = target(y)?;
        self.learn_values(&values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        regress(self, xs, ys, &wanted)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.targets.write(&mut to);
        self.model.state(py, &vec![], to)
    }

    fn restore(&mut self, state: State) -> PyResult<()> {
        let block = Block::of(&state.3)?;
        let mut reader = block.reader()?;
        self.targets = Targets::read(&mut reader)?;
        self.model.restore(&state, reader, 1)
    }
}
