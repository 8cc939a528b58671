//! Figures of several rounds: their medians and how far they spread, as a table.

use std::time::Duration;

use tokio::task::spawn_local;

use crate::candidate::Candidate;
use crate::programs;

/// Longer than any turn takes; a candidate that hangs does not stop the others.
const TURN_MAX: Duration = Duration::from_secs(240);

/// A column: its name, and how many digits after the point its figures have.
pub(crate) type Column = (&'static str, usize);

pub(crate) struct Table {
    columns: &'static [Column],
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    name: String,
    /// The figures of each round.
    rounds: Vec<Vec<f64>>,
}

/// `ONLY` names the candidates that take part, by parts of their names with commas between.
fn is_wanted(name: &str) -> bool {
    let only = std::env::var("ONLY").unwrap_or_default();
    only.split(',').any(|part| name.contains(part))
}

impl Table {
    pub(crate) fn new(title: &str, columns: &'static [Column]) -> Self {
        println!("\n## {title}\n");
        Self { columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds the figures of one round; one that is no number is not known.
    pub(crate) fn add(&mut self, name: &str, figures: Vec<f64>) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(figures),
            None => self.rows.push(Row { name: name.to_owned(), rounds: vec![figures] }),
        }
    }

    /// Gives each candidate that is here its turn, round after round.
    pub(crate) async fn turns<F>(
        &mut self,
        rounds: usize,
        candidates: &[Candidate],
        measure: impl Fn(Candidate) -> F,
    ) where
        F: Future<Output = Vec<f64>> + 'static,
    {
        for round in 1..=rounds {
            for &candidate in candidates {
                self.turn_of(candidate, &format!("{round}/{rounds}"), measure(candidate)).await;
            }
        }
    }

    /// A candidate's turn in a round, if it is here and takes part.
    pub(crate) async fn turn_of<F>(&mut self, one: Candidate, round: &str, measure: F)
    where
        F: Future<Output = Vec<f64>> + 'static,
    {
        let name = one.name();
        if is_wanted(name) && programs::versions(one).is_some() {
            self.turn(&format!("{round} {name}"), name, measure).await;
        }
    }

    /// One turn; a failure is noted, and the others go on.
    pub(crate) async fn turn<F>(&mut self, label: &str, name: &str, measure: F)
    where
        F: Future<Output = Vec<f64>> + 'static,
    {
        eprintln!("  {label}");
        let task = spawn_local(measure);
        let stop = task.abort_handle();
        match tokio::time::timeout(TURN_MAX, task).await {
            Ok(Ok(figures)) => {
                eprintln!("    {figures:.2?}");
                self.add(name, figures);
            }
            Ok(Err(error)) => self.notes.push(format!("{label}: failed: {error}")),
            Err(_) => {
                stop.abort();
                self.notes.push(format!("{label}: not done in {} s", TURN_MAX.as_secs()));
            }
        }
    }

    /// Prints the table, and what went wrong; whether nothing did.
    pub(crate) fn print(&self) -> bool {
        let heads: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        println!("| | {} |", heads.join(" | "));
        println!("|---|{}", "---|".repeat(heads.len()));
        for row in &self.rows {
            let cells: Vec<_> = (0..heads.len()).map(|column| self.cell(row, column)).collect();
            println!("| {} | {} |", row.name, cells.join(" | "));
        }
        for note in &self.notes {
            println!("\n{note}");
        }
        self.notes.is_empty()
    }

    /// Prints how a candidate's median stands to another's, if both were measured.
    pub(crate) fn compare(&self, one: &str, other: &str, column: usize, goal: &str) {
        let (Some(figure), Some(beside)) = (self.median(one, column), self.median(other, column))
        else {
            return;
        };
        let (head, ratio) = (self.columns[column].0, figure / beside);
        println!("\n{one} against {other}, {head}: {ratio:.2} times (goal: {goal})");
    }

    fn median(&self, name: &str, column: usize) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        let mut figures: Vec<f64> = row.rounds.iter().map(|round| round[column]).collect();
        figures.sort_by(f64::total_cmp);
        // Nothing can be compared with what was too little for the kernel's ticks.
        Some(figures[figures.len() / 2]).filter(|figure| figure.is_finite() && *figure > 0.0)
    }

    fn cell(&self, row: &Row, column: usize) -> String {
        let mut figures: Vec<f64> = row.rounds.iter().map(|round| round[column]).collect();
        figures.retain(|figure| figure.is_finite());
        figures.sort_by(f64::total_cmp);
        let digits = self.columns[column].1;
        match figures[..] {
            [] => "–".to_owned(),
            [only] => format!("{only:.digits$}"),
            [least, .., most] => {
                let median = figures[figures.len() / 2];
                format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
            }
        }
    }
}
