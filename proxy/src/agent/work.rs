use std::collections::BTreeSet;

use rungs::{
    Error,
    catalog::Tier,
    layers::escalate::{Handoff, PreviousAttempt},
    model::Quality,
};

use super::{
    climb::{Climber, Evidence, Next},
    edit,
    event::{Event, Purpose},
    map,
    models::{Question, Said, Unanswered},
    path::RelPath,
    plan::TodoStatus,
    prompt::{self, Keep, Prompt},
    review::Verdict,
    run::Run,
    tests_run,
};

/// The longest answer that changes files, in tokens.
const OUTPUT: u64 = 8_192;

/// How often a model may ask for more files before it has to change some.
const READS: u32 = 3;

/// The longest handoff, and the most of a set-aside answer in it, in bytes.
const HANDOFF: usize = 8 << 10;
const DRAFT: usize = 4 << 10;

/// Why the work on a part cannot go on.
pub(super) enum Broken {
    /// Nobody answers any more.
    Unanswered(Unanswered),
    /// The copy or the tests fail.
    Failed(Error),
}

impl From<Unanswered> for Broken {
    fn from(why: Unanswered) -> Self {
        Self::Unanswered(why)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is known of a part of the work.
struct Part {
    at: usize,
    shown: BTreeSet<RelPath>,
    reads: u32,
    attempts: Vec<PreviousAttempt>,
    /// The end of what the tests printed last.
    printed: String,
}

/// What came of an answer.
enum Came {
    /// Its change is kept.
    Kept,
    /// It wants to see more files, which it now does.
    Read,
    /// It was set aside.
    SetAside(Evidence),
}

impl Run<'_> {
    /// Works on part `at` of the plan until a change of it is kept; `false` if nobody can do it.
    pub(super) async fn work_on(&mut self, at: usize) -> Result<bool, Broken> {
        self.set_status(at, TodoStatus::InProgress).await;
        let files = self.todo[at].files.iter().chain(&self.job.files);
        let mut part = Part {
            at,
            shown: files.filter_map(|file| RelPath::parse(file).ok()).collect(),
            reads: 0,
            attempts: Vec::new(),
            printed: self.printed.clone(),
        };
        let mut climber = Climber::new(self.models.tiers().to_vec(), self.job.tries);
        loop {
            let tier = climber.tier();
            let user = self.change_prompt(&part, tier);
            let question = Question {
                tier,
                system: prompt::CHANGE,
                user,
                output: OUTPUT,
                not: None,
            };
            let said = self.ask(&question, Purpose::Change, Some(at)).await?;
            let evidence = match self.try_answer(&said, &mut part).await? {
                Came::Kept => {
                    self.set_status(at, TodoStatus::Done).await;
                    return Ok(true);
                }
                Came::Read => continue,
                Came::SetAside(evidence) => evidence,
            };
            let diff = self.workspace.diff();
            self.workspace.roll_back().await?;
            self.set_aside(&evidence);
            let draft = if diff.is_empty() { &said.text } else { &diff };
            part.attempts.push(PreviousAttempt {
                tier,
                text: draft[..draft.floor_char_boundary(DRAFT)].to_owned(),
                issues: vec![evidence.to_string()],
            });
            match climber.after(&evidence) {
                Next::Again => {}
                Next::Up => (self.watch)(&Event::Climb { to: climber.tier() }),
                Next::Nobody => {
                    self.set_status(at, TodoStatus::Failed).await;
                    return Ok(false);
                }
            }
        }
    }

    /// Makes the change that was answered, runs the tests, and keeps it if they say so.
    async fn try_answer(&mut self, said: &Said, part: &mut Part) -> Result<Came, Error> {
        if let Some(evidence) = &said.evidence {
            return Ok(Came::SetAside(evidence.clone()));
        }
        let answer = match edit::parse(&said.text) {
            Ok(answer) => answer,
            Err(flaw) => return Ok(Came::SetAside(Evidence::Patch(flaw))),
        };
        if answer.edits.is_empty() {
            return Ok(self.more_files(&answer.reads, part));
        }
        if let Err(flaw) = self.workspace.apply(&answer.edits).await? {
            return Ok(Came::SetAside(Evidence::Patch(flaw)));
        }
        let last = part.at + 1 == self.todo.len();
        if let Some(ending) = self.run_tests().await? {
            part.printed.clone_from(&self.printed);
            // A part on the way may leave tests failing that failed before it; the last one may not.
            if last || self.passed_before {
                return Ok(Came::SetAside(Evidence::Tests(ending)));
            }
        }
        if last && self.job.quality >= Quality::High {
            let author = said.by.as_ref().map(|by| by.id.clone());
            if let Verdict::Differ(issues) = self.review(author.as_ref()).await {
                return Ok(Came::SetAside(Evidence::Review(issues)));
            }
        }
        self.keep(said);
        Ok(Came::Kept)
    }

    /// Shows the files that a model wants to see, where it may.
    fn more_files(&self, wanted: &[String], part: &mut Part) -> Came {
        let before = part.shown.len();
        let paths = wanted.iter().filter_map(|path| RelPath::parse(path).ok());
        part.shown
            .extend(paths.filter(|path| self.workspace.text(path).is_some()));
        part.reads += 1;
        match part.shown.len() > before && part.reads <= READS {
            true => Came::Read,
            false => Came::SetAside(Evidence::NoChange),
        }
    }

    /// Runs the tests on the copy: `None` if they pass or there are none, else how they ended.
    pub(super) async fn run_tests(&mut self) -> Result<Option<String>, Error> {
        let Some(tests) = &self.job.tests else {
            return Ok(None);
        };
        let (copy, links) = (self.workspace.folder(), self.workspace.links());
        let walls = self.job.walls;
        let hidden = self.workspace.hidden();
        let deadline = self.purse.deadline();
        let run = tests_run::run(tests, walls, copy, links, hidden, deadline).await?;
        (self.watch)(&Event::Tests {
            passed: run.passed,
            ending: run.ending.clone(),
        });
        self.assessment.tests_after = Some(run.ending.clone());
        self.assessment.missing_walls = run.missing_walls;
        self.printed = run.output;
        Ok((!run.passed).then_some(run.ending))
    }

    /// What a model is told to make a change.
    fn change_prompt(&self, part: &Part, tier: Tier) -> String {
        let room = self.models.room(tier, OUTPUT);
        let mut prompt = Prompt::new(room, &self.mark);
        let todo = &self.todo[part.at];
        prompt.task(&self.job.task, Some(todo));
        if !part.attempts.is_empty() {
            prompt.say(&self.handoff(part).render(HANDOFF.min(room / 4)));
        }
        if !part.printed.is_empty() {
            let mut printed = Prompt::new(prompt.room() / 4, &self.mark);
            printed.data(
                "The end of what the project's tests print:",
                &part.printed,
                Keep::End,
            );
            prompt.say(&printed.finish());
        }
        for path in &part.shown {
            if let Some(text) = self.workspace.text(path) {
                prompt.file(path, text);
            }
        }
        let about = [&self.job.task, "\n", &todo.title].concat();
        let map = map::draw(self.workspace.texts(), &about, prompt.room() / 2);
        prompt.data("The files of the project:", &map, Keep::Beginning);
        prompt.finish()
    }

    /// What the next one is told of those before: all that is known to be wrong, and the newest answers. More of them would cost
    /// the dearer tiers more than they tell.
    fn handoff(&self, part: &Part) -> Handoff {
        const SHOWN: usize = 2;
        let count = part.attempts.len();
        let attempts = if count == 1 { "attempt" } else { "attempts" };
        let mut issues: Vec<String> = Vec::new();
        for attempt in &part.attempts {
            let found = attempt
                .issues
                .iter()
                .map(|issue| format!("{}: {issue}", attempt.tier));
            issues.extend(found);
        }
        issues.dedup();
        Handoff {
            summary: format!(
                "{count} earlier {attempts} at this part will not do and were undone."
            ),
            task: self.todo[part.at].title.clone(),
            conversation: None,
            known_issues: issues,
            request: "Make the change yourself, completely. Avoid the known issues.".to_owned(),
            previous_attempts: part.attempts[count.saturating_sub(SHOWN)..].to_vec(),
        }
    }
}
