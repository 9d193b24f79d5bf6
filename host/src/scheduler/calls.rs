//! Calls: wanted, started, paced, cut, ended. One life for model and tool calls.

use super::agents::share;
use super::ledger::{MeterId, Need, Obstacle, Plan};
use super::pool::{Resource, TIME_UNITS, TOKEN_UNITS};
use super::queue::{Contest, Line, Place};
use super::{Scheduler, Timer};
use crate::scheduler::{
    Action, Amounts, Exhausted, Misuse, ModelCall, ModelEnding, ModelUsage, Moment, Pid, Rejection,
    Ticket,
};

/// A step looks at so many calls that a limit may hold back; what is left goes on at once by the
/// timer. It bounds a step.
const LOOKS_PER_STEP: usize = 64;

/// A call waits so much longer among its equals for each second that it is expected to take,
/// in thousandths. Short ones first makes waits shorter; more than this makes the long ones' too
/// long (tried from 0 to 2,000 on a public trace of arrivals).
const TILT_PERMILLE: u64 = 300;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) pid: Pid,
    pub(super) resource: Resource,
    pub(super) meter: MeterId,
    pub(super) need: Need,
    /// Since when it wants to be made.
    since: Moment,
    pub(super) state: State,
    /// Set aside in the ledger.
    pub(super) plan: Option<Plan>,
    /// What was charged in the queue when it started.
    charged: u64,
    line: Line,
    started: Moment,
    was_cut: bool,
    is_aborted: bool,
    /// Room at a meter that is kept for it while it goes back to the queue.
    pub(super) promise: Option<MeterId>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Waiting(Place),
    /// Its agent is paused.
    Held,
    /// It waits for a limit, at this meter.
    Parked(MeterId, Exhausted),
    Running,
    /// A tool call that waits for a call of its own.
    Blocked,
}

impl Call {
    pub(super) fn key(&self, meter: MeterId, ticket: Ticket) -> (MeterId, u8, Moment, Ticket) {
        (meter, self.line.level, self.since, ticket)
    }

    pub(super) fn is_started(&self) -> bool {
        matches!(self.state, State::Running | State::Blocked)
    }
}

impl Scheduler {
    pub(super) fn model_wanted(
        &mut self,
        wanted: &ModelCall,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let ModelCall { ticket, pid, provider, .. } = *wanted;
        let asked = wanted.output_tokens_asked;
        let need = Need::new(wanted.input_tokens, asked, wanted.output_tokens_model, wanted.price);
        let why = if self.pools.models.get(&provider).is_none_or(|pool| pool.slots == 0) {
            Some(Rejection::NoProvider("no such provider, or it has no slots".into()))
        } else {
            let meter = self.agent_mut(pid)?.meter;
            match self.ledger.plan(meter, &need, self.now, None) {
                Err(Obstacle::Never(why)) => Some(why),
                Ok(_) | Err(Obstacle::Wait(..)) => None,
            }
        };
        self.wanted(ticket, pid, Resource::Model(provider), need, why, actions)
    }

    /// A call enters; `why` refuses it at once.
    pub(super) fn wanted(
        &mut self,
        ticket: Ticket,
        pid: Pid,
        resource: Resource,
        need: Need,
        why: Option<Rejection>,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        if self.calls.contains_key(&ticket) || self.recovered.contains_key(&ticket) {
            return Err(Misuse::CallTwice(ticket));
        }
        let (limit, since) = (self.options.calls_per_agent_max, self.now);
        let agent = self.agents.get_mut(&pid).ok_or(Misuse::NoAgent(pid))?;
        let why = if agent.killed {
            Some(Rejection::Ending)
        } else if agent.calls.len() >= limit as usize {
            Some(Rejection::TooManyCalls { limit })
        } else {
            why
        };
        if let Some(why) = why {
            actions.push(Action::Reject { ticket, pid, why });
            return Ok(());
        }
        let call = Call {
            pid,
            resource,
            meter: agent.meter,
            need,
            since,
            state: State::Held,
            plan: None,
            charged: 0,
            line: agent.line(),
            started: since,
            was_cut: false,
            is_aborted: false,
            promise: None,
        };
        agent.calls.push(ticket);
        if let Some(pool) = self.pools.get_mut(resource) {
            let (line, weight) = (agent.line(), agent.weight);
            pool.queue.join(agent.run_mut(resource), line, weight);
        }
        self.ledger.hold(agent.meter);
        self.calls.insert(ticket, call);
        self.enqueue(ticket);
        self.dispatch(resource, actions);
        Ok(())
    }

    /// Puts a call that is in no queue into its queue, or holds it while its agent is halted.
    pub(super) fn enqueue(&mut self, ticket: Ticket) {
        let Some(call) = self.calls.get_mut(&ticket) else { return };
        let Some(agent) = self.agents.get_mut(&call.pid) else { return };
        call.line = agent.line();
        call.state = State::Held;
        if agent.is_halted() {
            return;
        }
        let Some(pool) = self.pools.get_mut(call.resource) else {
            return;
        };
        let expected = pool.estimates.expect(call.line.level, call.need.input_tokens);
        let tilt_ns = expected.service_ns / 1_000 * TILT_PERMILLE;
        let order = call.since.after_ns(tilt_ns).0;
        let run = agent.run_mut(call.resource);
        let place = pool.queue.place(run, call.since, order, ticket.0);
        pool.queue.push(&place);
        call.state = State::Waiting(place);
    }

    /// Starts what may start.
    pub(super) fn dispatch(&mut self, resource: Resource, actions: &mut Vec<Action>) {
        for _ in 0..LOOKS_PER_STEP {
            let now = self.now;
            let Some(pool) = self.pools.get_mut(resource) else { return };
            if !pool.may_start(now) {
                break;
            }
            let Some(choice) = pool.queue.choose(now) else { return };
            let ticket = Ticket(choice.id);
            match self.plan(ticket) {
                Ok(plan) => self.start(ticket, plan, choice.contest, actions),
                Err(obstacle) => self.stand_aside(ticket, obstacle, actions),
            }
        }
        let now = self.now;
        let Some(pool) = self.pools.get_mut(resource) else { return };
        if pool.may_start(now) && pool.queue.len() > 0 {
            self.timers.insert((now, Timer::Pool(resource)));
        }
        self.consider_cut(resource, actions);
    }

    fn plan(&mut self, ticket: Ticket) -> Result<Option<Plan>, Obstacle> {
        let call = self.calls.get(&ticket).expect("invariant: who waits is a call");
        match (call.resource, call.plan) {
            (Resource::Tools, _) => Ok(None),
            (Resource::Model(_), Some(plan)) => Ok(Some(plan)),
            (Resource::Model(_), None) => {
                let (meter, need) = (call.meter, call.need);
                self.ledger.plan(meter, &need, self.now, None).map(Some)
            }
        }
    }

    fn start(
        &mut self,
        ticket: Ticket,
        plan: Option<Plan>,
        contest: Contest,
        actions: &mut Vec<Action>,
    ) {
        self.take_out(ticket);
        let call = self.calls.get_mut(&ticket).expect("invariant: who waits is a call");
        if let (Some(plan), None) = (plan, call.plan) {
            self.ledger.reserve(call.meter, plan.reserved);
        }
        (call.plan, call.state, call.started) = (plan, State::Running, self.now);
        let (pid, resource) = (call.pid, call.resource);
        let agent = self.agents.get_mut(&pid).expect("invariant: who waits has its agent");
        let share = share(&self.owners, agent.weight, agent.owner);
        let pool = self.pools.get_mut(resource).expect("invariant: who waits has its pool");
        let expected = pool.estimates.expect(call.line.level, call.need.input_tokens);
        call.charged = match resource {
            Resource::Model(_) => tokens_cost(call.need.input_tokens, expected.output_tokens),
            Resource::Tools => expected.service_ns.saturating_mul(TIME_UNITS),
        };
        pool.queue.begun(contest, expected.service_ns);
        pool.queue.charge(agent.run_mut(resource), share, call.charged);
        pool.running += 1;
        match (resource, plan) {
            (Resource::Model(provider), Some(plan)) => {
                if !call.was_cut {
                    pool.cuttable.insert((call.line.level, self.now, ticket));
                }
                let Plan { output_tokens_max, reserved } = plan;
                let start =
                    Action::StartModel { ticket, pid, provider, output_tokens_max, reserved };
                actions.push(start);
            }
            (Resource::Model(_), None) | (Resource::Tools, _) => {
                actions.push(Action::StartTool { ticket, pid });
            }
        }
    }

    /// A started call gives its slot back; the queue learns what it cost.
    fn free_slot(&mut self, ticket: Ticket, cost: Option<u64>) {
        let Some(call) = self.calls.get_mut(&ticket) else { return };
        let (resource, line, now) = (call.resource, call.line, self.now);
        let charged = std::mem::take(&mut call.charged);
        let was_running = call.state == State::Running;
        let (started, was_cut, pid) = (call.started, call.was_cut, call.pid);
        let agent = self.agents.get_mut(&pid);
        let weight = agent.as_ref().map_or(1, |agent| agent.weight);
        let share = share(&self.owners, weight, line.owner);
        let Some(pool) = self.pools.get_mut(resource) else { return };
        if was_running {
            pool.running -= 1;
        }
        if !pool.cuttable.remove(&(line.level, started, ticket))
            && was_cut
            && matches!(resource, Resource::Model(_))
            && self.cut_pending.remove(&ticket)
        {
            pool.cutting -= 1;
        }
        let cost = cost.unwrap_or_else(|| now.since_ns(started).saturating_mul(TIME_UNITS));
        let run = agent.map(|agent| agent.run_mut(resource));
        pool.queue.settle(line, run, share, charged, cost);
    }

    pub(super) fn model_sent(&mut self, ticket: Ticket) -> Result<(), Misuse> {
        let now = self.now;
        let call = self.running_model(ticket)?;
        let (level, started, resource) = (call.line.level, call.started, call.resource);
        call.started = now;
        if let Some(pool) = self.pools.get_mut(resource)
            && pool.cuttable.remove(&(level, started, ticket))
        {
            pool.cuttable.insert((level, now, ticket));
        }
        Ok(())
    }

    pub(super) fn model_paced(
        &mut self,
        ticket: Ticket,
        until: Moment,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let call = self.running_model(ticket)?;
        let resource = call.resource;
        if call.is_aborted {
            let usage = ModelUsage::default();
            return self.model_ended(ticket, ModelEnding::Failed, &usage, actions);
        }
        self.free_slot(ticket, Some(0));
        if let Some(pool) = self.pools.get_mut(resource)
            && until > pool.paced_until
        {
            let before = std::mem::replace(&mut pool.paced_until, until);
            self.timers.remove(&(before, Timer::Pool(resource)));
            self.timers.insert((until, Timer::Pool(resource)));
        }
        self.enqueue(ticket);
        self.dispatch(resource, actions);
        Ok(())
    }

    pub(super) fn model_ended(
        &mut self,
        ticket: Ticket,
        ending: ModelEnding,
        usage: &ModelUsage,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let now = self.now;
        let call = self.running_model(ticket)?;
        let (resource, line, need, pid) = (call.resource, call.line, call.need, call.pid);
        let service_ns = now.since_ns(call.started);
        let goes_back = ending == ModelEnding::Cut && call.was_cut && !call.is_aborted;
        let charged = match ending {
            // Refused before it was sent: not even a call.
            ModelEnding::Failed if *usage == ModelUsage::default() => Amounts::default(),
            ModelEnding::Failed | ModelEnding::Cut | ModelEnding::Finished => need.charge(usage),
        };
        let gave_answer = ending == ModelEnding::Finished;
        let wasted = if gave_answer { Amounts::default() } else { charged };
        let cached = usage.cache_read_tokens.min(usage.input_tokens);
        let input = usage.input_tokens - cached + cached.div_ceil(10);
        let cost = tokens_cost(input, usage.output_tokens);
        self.free_slot(ticket, Some(cost));
        if gave_answer && let Some(pool) = self.pools.get_mut(resource) {
            let Need { input_tokens, .. } = need;
            pool.estimates.learn(line.level, input_tokens, usage.output_tokens, service_ns);
        }
        self.settle(ticket, charged, wasted, actions);
        if let Some(call) = self.calls.get(&ticket) {
            self.release_chain(call.meter, actions);
        }
        if goes_back && self.agents.contains_key(&pid) {
            self.enqueue(ticket);
        } else {
            self.drop_call(ticket);
        }
        self.dispatch(resource, actions);
        Ok(())
    }

    pub(super) fn tool_ended(
        &mut self,
        ticket: Ticket,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let now = self.now;
        let call = self.started_tool(ticket)?;
        let (level, service_ns) = (call.line.level, now.since_ns(call.started));
        self.free_slot(ticket, None);
        self.pools.tools.estimates.learn(level, 0, 0, service_ns);
        self.drop_call(ticket);
        self.dispatch(Resource::Tools, actions);
        Ok(())
    }

    pub(super) fn tool_blocked(
        &mut self,
        ticket: Ticket,
        state: State,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        let call = self.started_tool(ticket)?;
        let before = std::mem::replace(&mut call.state, state);
        match (before, state) {
            (State::Running, State::Blocked) => self.pools.tools.running -= 1,
            (State::Blocked, State::Running) => self.pools.tools.running += 1,
            _ => {}
        }
        self.dispatch(Resource::Tools, actions);
        Ok(())
    }

    pub(super) fn given_up(
        &mut self,
        ticket: Ticket,
        actions: &mut Vec<Action>,
    ) -> Result<(), Misuse> {
        if !self.calls.contains_key(&ticket) {
            return Err(Misuse::WrongCall(ticket));
        }
        self.end_call(ticket, actions);
        Ok(())
    }

    /// The agent's waiting calls are withdrawn, its started ones aborted.
    pub(super) fn end_calls(&mut self, pid: Pid, actions: &mut Vec<Action>) -> Result<(), Misuse> {
        for ticket in self.agent_mut(pid)?.calls.clone() {
            self.end_call(ticket, actions);
        }
        Ok(())
    }

    fn end_call(&mut self, ticket: Ticket, actions: &mut Vec<Action>) {
        let Some(call) = self.calls.get_mut(&ticket) else { return };
        let pid = call.pid;
        if call.is_started() {
            if !std::mem::replace(&mut call.is_aborted, true) {
                actions.push(Action::Abort(ticket));
            }
            let (resource, key) = (call.resource, (call.line.level, call.started, ticket));
            if let Some(pool) = self.pools.get_mut(resource) {
                pool.cuttable.remove(&key);
            }
            return;
        }
        self.take_out(ticket);
        // One that was paced still has its reservation.
        self.settle(ticket, Amounts::default(), Amounts::default(), actions);
        actions.push(Action::Withdraw { ticket, pid });
        self.drop_call(ticket);
    }

    /// Closes the reservation of a call, where it has one.
    pub(super) fn settle(
        &mut self,
        ticket: Ticket,
        charged: Amounts,
        wasted: Amounts,
        actions: &mut Vec<Action>,
    ) {
        let now = self.now;
        let Some(call) = self.calls.get_mut(&ticket) else { return };
        if let Some(plan) = call.plan.take() {
            self.ledger.settle(call.meter, plan.reserved, charged, wasted, now);
            actions.push(Action::Settled { ticket, charged, wasted });
        }
    }

    /// Forgets a call that holds nothing any more.
    pub(super) fn drop_call(&mut self, ticket: Ticket) {
        let Some(call) = self.calls.remove(&ticket) else { return };
        if let Some(agent) = self.agents.get_mut(&call.pid) {
            agent.calls.retain(|other| *other != ticket);
            let weight = agent.weight;
            let run = agent.run_mut(call.resource);
            if let Some(pool) = self.pools.get_mut(call.resource) {
                pool.queue.part(run, weight);
            }
        }
        self.ledger.unhold(call.meter);
    }

    fn running_model(&mut self, ticket: Ticket) -> Result<&mut Call, Misuse> {
        let call = self.calls.get_mut(&ticket).filter(|call| {
            call.state == State::Running && matches!(call.resource, Resource::Model(_))
        });
        call.ok_or(Misuse::WrongCall(ticket))
    }

    fn started_tool(&mut self, ticket: Ticket) -> Result<&mut Call, Misuse> {
        let call = self.calls.get_mut(&ticket);
        let call = call.filter(|call| call.is_started() && call.resource == Resource::Tools);
        call.ok_or(Misuse::WrongCall(ticket))
    }

    /// Cuts one call of a far less urgent agent, or of a less urgent one that has had its time
    /// slice, where a more urgent one waits and the operator allows it.
    fn consider_cut(&mut self, resource: Resource, actions: &mut Vec<Action>) {
        let (Some(cut), now) = (self.options.cut, self.now) else { return };
        let slice_ns = self.model_slice_ns;
        let Some(pool) = self.pools.get_mut(resource) else { return };
        let Some(urgent) = pool.queue.top_level() else { return };
        if pool.running < pool.slots
            || now < pool.paced_until
            || pool.cutting as usize >= pool.queue.len()
        {
            return;
        }
        let Some(&(level, latest, ticket)) = pool.cuttable.last() else { return };
        let first = (level, Moment(0), Ticket(0));
        let Some(&(_, earliest, oldest)) = pool.cuttable.range(first..).next() else { return };
        let (started, ticket) = if level >= urgent.saturating_add(cut.points.max(1)) {
            (latest, ticket)
        } else if level > urgent && now.since_ns(earliest) >= slice_ns {
            (earliest, oldest)
        } else {
            return;
        };
        pool.cuttable.remove(&(level, started, ticket));
        pool.cutting += 1;
        self.cut_pending.insert(ticket);
        if let Some(call) = self.calls.get_mut(&ticket) {
            call.was_cut = true;
        }
        actions.push(Action::CutModel(ticket));
    }
}

/// Cost in the queue's units: 1 a token in, 2 a token out (VTC's weights).
fn tokens_cost(input: u64, output: u64) -> u64 {
    input.saturating_add(output.saturating_mul(2)).saturating_mul(TOKEN_UNITS)
}
