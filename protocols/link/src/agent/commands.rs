//! Which commands were carried out: one that comes again is answered again, not done again.

use std::collections::VecDeque;

use gannet_protocols_model::Timestamp;
use gannet_protocols_wire::{CommandId, CommandPhase, CommandRequest, CommandState, WireError};

/// Remembered commands. More than an operator sends while a message can still come twice.
const MAX_REMEMBERED: usize = 64;

/// What is to be done about a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer with this; nothing is to be done.
    Answer(CommandState),
    /// Send everything.
    Sync,
}

/// The memory of commands.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    done: VecDeque<(CommandId, CommandState)>,
}

impl Commands {
    pub(crate) fn judge(
        &mut self,
        id: &CommandId,
        request: Result<CommandRequest, WireError>,
        now: Timestamp,
    ) -> Verdict {
        if let Some((_, state)) = self.done.iter().find(|(known, _)| known == id) {
            return Verdict::Answer(state.clone());
        }
        let refusal = match request {
            Err(e) => e.to_string(),
            Ok(request) if request.deadline.is_some_and(|deadline| deadline < now) => {
                format!("deadline {} has passed", request.deadline.unwrap_or_default())
            }
            Ok(request) if request.name == "sync" => {
                self.remember(id, CommandState { phase: CommandPhase::Successful, message: String::new() });
                return Verdict::Sync;
            }
            Ok(request) => {
                let name: String = request.name.chars().take(100).collect();
                format!("command {name:?} is not known, only \"sync\" is")
            }
        };
        let state = CommandState { phase: CommandPhase::Failed, message: refusal };
        self.remember(id, state.clone());
        Verdict::Answer(state)
    }

    fn remember(&mut self, id: &CommandId, state: CommandState) {
        if self.done.len() == MAX_REMEMBERED {
            self.done.pop_front();
        }
        self.done.push_back((id.clone(), state));
    }
}
