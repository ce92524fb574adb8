//! `RestartingForest`'s core: `stream_retrain/models/plain_forest.py` has the same one in Python.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::cache::{Cache, Kept};
use super::domain::Known;
use super::member::ClassifierMember;
use super::step::{classify, Classifies, Wanted};
use super::values::{values, Value};
use super::{Block, Names};
use crate::block::Writer;
use crate::forest::{self, Params, Said};
use crate::tree::{self, LEAF_EVENTS_MAX};

/// Names, categories, labels, the predictions that are kept, and the numbers.
type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyDict>, Bound<'py, PyAny>);

impl Kept for Said {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        let classes = PyTuple::new(py, &self.classes)?;
        Ok((self.changes, classes).into_pyobject(py)?.into_any().unbind())
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<Said> {
        let (changes, classes) = kept.extract()?;
        Ok(Said { changes, classes })
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct Forest {
    forest: forest::Forest,
    known: Known,
    cache: Cache<Said>,
    /// What was said of the event that is learned next.
    next: Option<Said>,
    params: Params,
    categories_max: usize,
}

impl Forest {
    fn of(py: Python, params: Params, categories_max: usize) -> Forest {
        let (forest, known) = (forest::Forest::new(&params), Known::new(py, categories_max));
        Forest { forest, known, cache: Cache::new(py), next: None, params, categories_max }
    }

    /// What each tree says, with the probabilities in `to`.
    fn ask(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<Said> {
        let mut said = Said::default();
        self.known.fill(values)?;
        self.forest.predict(&self.known.domain, &self.known.rows.row, &mut to.scratch, &mut said);
        to.extend(py, &self.known.labels.0.names, self.known.order());
        Ok(said)
    }

    /// Score what was said of an event, then learn it.
    fn learn_said(&mut self, values: &[Value], y: &Bound<PyAny>, said: Said) -> PyResult<()> {
        let class = self.known.labels.0.find_same(y)?;
        if self.forest.must_ask(&said) {
            self.known.fill(values)?;
        }
        self.forest.score(&self.known.domain, &said, class, &self.known.rows.row);
        let class = self.known.learn(values, y)?;
        for &feature in &self.known.rows.withheld {
            self.forest.withhold(feature);
        }
        self.forest.learn(&self.known.domain, &self.known.rows.row, class);
        Ok(())
    }
}

impl Classifies for Forest {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.next = None;
        let said = self.ask(py, values, to)?;
        self.next = self.cache.pass(py, values, said)?;
        Ok(())
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let said = self.next.take().unwrap_or_default();
        self.learn_said(values, y, said)
    }

    /// How often as many trees were replaced as there are.
    fn changes(&self, _: Python) -> PyResult<u64> {
        Ok(self.forest.changes / self.params.trees as u64)
    }
}

impl ClassifierMember for Forest {
    fn predict_any(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        let said = self.ask(py, values, to)?;
        self.cache.put(py, values, said)
    }

    fn learn_any(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let said = self.cache.take(py, values)?;
        self.learn_said(values, y, said.unwrap_or_default())
    }

    fn untrained(&self, py: Python) -> PyResult<Forest> {
        Ok(Forest::of(py, self.params.clone(), self.categories_max))
    }
}

#[pymethods]
impl Forest {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python,
        trees: usize,
        grace_period: f64,
        delta: f64,
        tau: f64,
        cuts: u32,
        weight_mean: f64,
        drift_confidence: f64,
        warning_confidence: f64,
        categories_max: usize,
        memory_max: usize,
        seed: u64,
    ) -> Forest {
        let tree = tree::Params { grace_period, delta, tau, depth_max: None, leaf_weight_max: LEAF_EVENTS_MAX * weight_mean };
        let params = Params { trees, tree, cuts, weight_mean, drift_confidence, warning_confidence, memory_max, seed };
        Forest::of(py, params, categories_max)
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let mut answers = Answers::default();
        self.predict_any(x.py(), &values(x)?, &mut answers)?;
        answers.alone(x.py())
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_any(x.py(), &values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
    }

    /// How many trees were replaced.
    #[getter(changes)]
    pub fn replaced(&self) -> u64 {
        self.forest.changes
    }

    fn shape(&self) -> (usize, usize, usize) {
        self.forest.shape()
    }

    /// Bytes of all trees and successors, as they are estimated.
    fn memory(&self) -> usize {
        self.forest.memory(&self.known.domain)
    }

    fn withheld(&self, py: Python) -> Names {
        self.known.withheld(py)
    }

    fn waiting(&self, py: Python) -> usize {
        self.cache.len(py)
    }

    fn state<'py>(&mut self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.known.domain.write(&mut to);
        self.forest.write(&mut to);
        let (names, categories, labels) = self.known.named(py)?;
        let kept = self.cache.state(py)?.into_bound(py);
        Ok((names, categories, labels, kept, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let (names, categories, labels, kept, block) = state;
        *self = self.untrained(py)?;
        let counts = self.known.restore((names, categories, labels))?;
        let block = Block::of(&block)?;
        let mut reader = block.reader()?;
        self.known.read(&mut reader)?;
        self.forest.read(&mut reader, &self.known.domain, &counts)?;
        reader.end()?;
        self.known.settle(py)?;
        self.cache.restore(&kept)
    }
}
