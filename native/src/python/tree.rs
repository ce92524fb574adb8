//! `QuickTree`'s core: `stream_retrain/models/plain_tree.py` has the same one in Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::labels::Labels;
use super::member::ClassifierMember;
use super::rows::Rows;
use super::step::{classify, Classifies, Wanted};
use super::values::{values, Table, Value};
use super::{listed, ranked, Block, Names};
use crate::block::Writer;
use crate::tree::{self, Params};

type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

/// Refuse a weight that no event can have.
pub fn check_weight(w: f64) -> PyResult<()> {
    if w.is_nan() || w <= 0.0 {
        return Err(PyValueError::new_err(format!("the weight of an event is {w:?}; use one above 0")));
    }
    Ok(())
}

#[pyclass(module = "stream_retrain._native")]
pub struct Tree {
    tree: tree::Tree,
    rows: Rows,
    labels: Labels,
    made: Made,
}

/// What a tree was made with.
#[derive(Clone, Copy)]
pub struct Made {
    pub grace_period: f64,
    pub delta: f64,
    pub tau: f64,
    pub max_depth: Option<u32>,
    pub categories_max: usize,
}

impl Made {
    pub fn params(&self) -> Params {
        Params { grace_period: self.grace_period, delta: self.delta, tau: self.tau, depth_max: self.max_depth }
    }
}

impl Tree {
    fn of(py: Python, made: Made) -> Tree {
        Tree { tree: tree::Tree::new(&made.params()), rows: Rows::new(py, made.categories_max), labels: Labels(Table::new(py)), made }
    }

    /// The probability of every class, by its number.
    pub fn predict_values(&mut self, values: &[Value], proba: &mut Vec<f64>) -> PyResult<()> {
        self.rows.fill(values, &self.tree.features)?;
        self.tree.predict(&self.rows.row, proba);
        Ok(())
    }

    pub fn learn_values(&mut self, values: &[Value], y: &Bound<PyAny>, w: f64) -> PyResult<()> {
        let known = self.labels.0.find_same(y)?;
        self.rows.learn(values, &mut self.tree.features)?;
        for &feature in &self.rows.withheld {
            self.tree.withhold(feature);
        }
        let class = match known {
            Some(class) => class,
            None => self.add_label(y)?,
        };
        self.tree.learn(&self.rows.row, class, w);
        Ok(())
    }

    fn add_label(&mut self, y: &Bound<PyAny>) -> PyResult<u32> {
        let class = self.labels.0.add(y)?;
        self.tree.classes = self.labels.0.names.len();
        self.tree.ranked = ranked(y.py(), &self.labels.0.names, self.labels.0.numbers.bind(y.py()))?;
        Ok(class)
    }
}

impl Classifies for Tree {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.predict_values(values, &mut to.scratch)?;
        to.extend(py, &self.labels.0.names, self.tree.ranked.iter().map(|&class| class as usize));
        Ok(())
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(values, y, 1.0)
    }
}

impl ClassifierMember for Tree {
    fn untrained(&self, py: Python) -> PyResult<Tree> {
        Ok(Tree::of(py, self.made))
    }
}

#[pymethods]
impl Tree {
    #[new]
    fn new(py: Python, grace_period: f64, delta: f64, tau: f64, max_depth: Option<u32>, categories_max: usize) -> Tree {
        Tree::of(py, Made { grace_period, delta, tau, max_depth, categories_max })
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let mut proba = vec![];
        self.predict_values(&values(x)?, &mut proba)?;
        self.labels.proba(x.py(), self.tree.ranked.iter().copied(), &proba)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>, w: f64) -> PyResult<()> {
        check_weight(w)?;
        self.learn_values(&values(x)?, y, w)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
    }

    fn shape(&self) -> (usize, usize, usize) {
        self.tree.shape()
    }

    fn withheld(&self, py: Python) -> Names {
        self.rows.withheld(py, &self.tree.features)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.tree.write(&mut to);
        let (names, categories) = self.rows.named(py)?;
        Ok((names, categories, listed(py, &self.labels.0.names)?, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let (names, categories, labels, block) = state;
        *self = Tree::of(py, self.made);
        let counts = self.rows.restore(&(names, categories))?;
        self.labels = Labels(Table::of(py, labels.as_any())?);
        let block = Block::of(&block)?;
        let mut reader = block.reader()?;
        self.tree.read(&mut reader, &counts, self.labels.0.names.len())?;
        reader.end()?;
        self.tree.ranked = ranked(py, &self.labels.0.names, self.labels.0.numbers.bind(py))?;
        self.rows.settle(py, &mut self.tree.features)
    }
}
