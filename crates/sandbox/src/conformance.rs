//! What every driver must pass: the promises about sandboxes as small programs.
//!
//! There are two kinds of cases. **Behaviour** is what a runner sees through [`Sandbox`]: outcomes, streams, time,
//! files. The fake driver passes these too, which is what makes tests on it worth something. **Walls** are the
//! security promises P1 to P8, and ordinary work that must pass behind them; only drivers with real kernels run these.
//! Each wall case runs attacks inside and wants every single one to come back `blocked`; run outside of a sandbox, the
//! same attacks say `open`.
//!
//! A case makes its own sandboxes, destroys them, and panics where a promise is broken. A harness runs them one by one
//! from [`CASES`], or all with [`all`]:
//!
//! ```ignore
//! for case in sandbox::conformance::CASES {
//!     (case.run)(&driver).await;
//! }
//! ```
//!
//! Sandboxes need `bash`, the usual small tools and `python3` on `PATH` = `/usr/local/bin:/usr/bin:/bin`. The walls
//! that are looked at from the host (listeners, processes, memory) take the driver's sandboxes to be on this machine.

pub mod exec;
pub mod files;
mod harness;
pub mod life;
pub mod output;
pub mod resources;
pub mod time;
pub mod walls;
pub mod work;

use std::fmt;
use std::pin::Pin;

use crate::Driver;

/// A running case.
pub type Run<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One promise about sandboxes, and the function that tries it.
#[derive(Clone, Copy)]
pub struct Case {
    /// `area::promise`, unique.
    pub name: &'static str,
    /// Who runs it.
    pub kind: Kind,
    /// Tries it; panics where the promise is broken.
    pub run: for<'a> fn(&'a dyn Driver) -> Run<'a>,
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Case")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Who runs a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every driver, the fake one included.
    Behaviour,
    /// Drivers with a real kernel.
    Wall,
}

macro_rules! cases {
    ($($kind:ident $module:ident::$name:ident)*) => {
        &[$(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            kind: Kind::$kind,
            run: |driver| Box::pin($module::$name(driver)),
        }),*]
    };
}

/// All cases, in a sensible order: the simplest first.
pub const CASES: &[Case] = cases! {
    Behaviour exec::exit_codes_arrive
    Behaviour exec::signals_arrive
    Behaviour exec::streams_are_kept_apart_and_in_order
    Behaviour exec::output_comes_while_the_program_runs
    Behaviour exec::long_streams_keep_head_and_tail
    Behaviour exec::a_flood_is_cut_and_counted
    Behaviour exec::everything_comes_without_a_limit
    Behaviour exec::standard_input_arrives
    Behaviour exec::unread_standard_input_blocks_nothing
    Behaviour exec::the_environment_is_what_was_passed
    Behaviour exec::the_working_directory_is_what_was_asked
    Behaviour exec::odd_arguments_arrive_as_they_are
    Behaviour exec::programs_that_cannot_be_started_are_outcomes
    Behaviour time::programs_end_at_their_limit
    Behaviour time::only_a_timeout_is_called_one
    Behaviour time::sigterm_leaves_time_to_save
    Behaviour time::children_die_with_their_call
    Behaviour time::a_cancelled_program_ends_at_once
    Behaviour time::a_cancelled_program_may_save
    Behaviour time::no_program_outlives_the_sandbox
    Behaviour files::what_is_written_can_be_read
    Behaviour files::written_files_belong_to_programs
    Behaviour files::what_is_no_file_is_refused
    Behaviour files::links_do_not_lead_outside
    Behaviour files::too_much_is_refused_and_survived
    Behaviour files::a_tar_becomes_files
    Behaviour files::a_hostile_tar_is_refused
    Behaviour output::everything_is_listed_as_what_it_is
    Behaviour output::a_rewritten_file_shows
    Behaviour output::a_listing_is_bounded
    Behaviour output::files_are_fetched_in_order
    Behaviour output::only_plain_output_files_are_fetched
    Behaviour output::files_that_change_are_fetched_as_they_are
    Behaviour output::a_fetch_left_in_the_middle_is_noticed
    Behaviour life::state_lives_between_calls
    Behaviour life::sandboxes_do_not_see_each_other
    Behaviour life::a_sandbox_ends_itself
    Behaviour life::destroy_ends_a_running_program
    Behaviour life::a_dropped_sandbox_is_gone
    Behaviour life::many_live_at_once
    Behaviour life::out_of_memory_is_reported_and_survived
    Wall walls::privilege
    Wall walls::processes
    Wall walls::namespaces
    Wall walls::kernel
    Wall walls::foreign_system_calls
    Wall walls::terminals
    Wall walls::network
    Wall walls::sockets
    Wall walls::root_directory
    Wall walls::masked_paths
    Wall walls::what_is_told_of_the_machine_is_known
    Wall walls::host_files
    Wall walls::skills_are_read_only
    Wall walls::no_state_passes_between_sandboxes
    Wall resources::disks_are_bounded
    Wall resources::processes_are_bounded
    Wall resources::a_fork_bomb_stays_inside
    Wall resources::memory_is_bounded
    Wall resources::out_of_memory_belongs_to_its_call
    Wall resources::cpu_is_bounded
    Wall resources::descriptors_and_dumps_are_bounded
    Wall resources::a_flood_costs_the_runner_nothing
    Wall resources::nothing_is_left_of_a_sandbox
    Wall work::ordinary_python_works
    Wall work::ordinary_shell_works
};

/// Runs all cases, one after the other.
pub async fn all(driver: &dyn Driver) {
    behaviour(driver).await;
    walls(driver).await;
}

/// Runs the cases that every driver passes.
pub async fn behaviour(driver: &dyn Driver) {
    run(driver, Kind::Behaviour).await;
}

/// Runs the cases that need a real kernel.
pub async fn walls(driver: &dyn Driver) {
    run(driver, Kind::Wall).await;
}

async fn run(driver: &dyn Driver, kind: Kind) {
    for case in CASES.iter().filter(|case| case.kind == kind) {
        tracing::info!(case = case.name, "conformance");
        (case.run)(driver).await;
    }
}

#[cfg(test)]
mod tests;
