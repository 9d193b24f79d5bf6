//! `[host]`: what all agents of a host share, in `aos.toml`, in a team's file, as flags of `serve`.

use serde::Deserialize;

use super::{Bytes, Time, ZERO};
use crate::kernel::agents::AgentOptions;
use crate::scheduler::CutOptions;

/// Limits and sizes of a host. What is left out stays as it was. Windows are an hour long.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostTable {
    /// Tokens of one request.
    pub request_tokens: Option<u64>,
    /// Tokens in a window.
    pub window_tokens: Option<u64>,
    /// Model calls in a window.
    pub window_calls: Option<u64>,
    /// Millionths of a US dollar in a window.
    pub window_microdollars: Option<u64>,
    /// Tokens in all.
    pub max_tokens: Option<u64>,
    /// Model calls in all.
    pub max_calls: Option<u64>,
    /// Millionths of a US dollar in all.
    pub max_microdollars: Option<u64>,
    /// Model calls in flight, per provider.
    pub model_slots: Option<u32>,
    /// Tool calls at once.
    pub tool_slots: Option<u32>,
    /// One turn of CPU.
    pub cpu_slice: Option<Time>,
    /// Model service after which an agent's place among its equals is reckoned anew.
    pub model_slice: Option<Time>,
    /// A model call in flight may be cut, once, for an agent that is more urgent by so many points;
    /// what it had used is paid. Without it none is cut.
    pub cut_points: Option<u8>,
    /// How long a call is held back for a provider that says "not now".
    pub call_patience: Option<Time>,
    /// When all that live have waited so long for room in a budget, a team's run ends.
    pub patience: Option<Time>,
    /// Agents and tool calls at once.
    pub agents_max: Option<u32>,
    /// Agents whose programs are in memory at once; others wait for one to end.
    pub live_max: Option<u32>,
    /// Children of one agent.
    pub children_max: Option<u32>,
    /// Generations of agents, with the tools of the last.
    pub depth_max: Option<u8>,
    /// Messages in one mailbox.
    pub mailbox_max: Option<u32>,
    /// Bytes of all messages in one mailbox.
    pub mailbox_bytes: Option<Bytes>,
    /// Bytes of all pages of one agent.
    pub stored_bytes: Option<Bytes>,
}

impl HostTable {
    /// Puts what is set in force.
    pub fn over(&self, options: &mut AgentOptions) {
        fn put<T>(value: Option<T>, place: &mut T) {
            if let Some(value) = value {
                *place = value;
            }
        }
        let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
        let size = |size: Option<u64>| size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let limits = &mut options.schedule.host_limits;
        limits.request_tokens = self.request_tokens.or(limits.request_tokens);
        limits.window_tokens = self.window_tokens.or(limits.window_tokens);
        limits.window_calls = self.window_calls.or(limits.window_calls);
        limits.window_microdollars = self.window_microdollars.or(limits.window_microdollars);
        limits.total_tokens = self.max_tokens.or(limits.total_tokens);
        limits.total_calls = self.max_calls.or(limits.total_calls);
        limits.total_microdollars = self.max_microdollars.or(limits.total_microdollars);
        put(self.tool_slots, &mut options.schedule.tool_slots);
        put(self.cpu_slice.map(|time| time.0), &mut options.schedule.cpu_slice);
        put(self.model_slice.map(|time| time.0), &mut options.schedule.model_slice);
        put(self.agents_max, &mut options.schedule.agents_max);
        put(self.depth_max, &mut options.schedule.depth_max);
        let cut = self.cut_points.map(|points| CutOptions { points });
        options.schedule.cut = cut.or(options.schedule.cut);
        put(self.model_slots, &mut options.model_slots);
        put(self.call_patience.map(|time| time.0), &mut options.call_patience);
        put(self.live_max, &mut options.live_max);
        put(size(self.children_max.map(u64::from)), &mut options.children_max);
        put(size(self.mailbox_max.map(u64::from)), &mut options.mailbox_max);
        put(size(bytes(self.mailbox_bytes)), &mut options.mailbox_bytes_max);
        put(bytes(self.stored_bytes), &mut options.stored_bytes_max);
    }

    /// This table where it says something, `other` elsewhere.
    pub fn or(self, other: &Self) -> Self {
        Self {
            request_tokens: self.request_tokens.or(other.request_tokens),
            window_tokens: self.window_tokens.or(other.window_tokens),
            window_calls: self.window_calls.or(other.window_calls),
            window_microdollars: self.window_microdollars.or(other.window_microdollars),
            max_tokens: self.max_tokens.or(other.max_tokens),
            max_calls: self.max_calls.or(other.max_calls),
            max_microdollars: self.max_microdollars.or(other.max_microdollars),
            model_slots: self.model_slots.or(other.model_slots),
            tool_slots: self.tool_slots.or(other.tool_slots),
            cpu_slice: self.cpu_slice.or(other.cpu_slice),
            model_slice: self.model_slice.or(other.model_slice),
            cut_points: self.cut_points.or(other.cut_points),
            call_patience: self.call_patience.or(other.call_patience),
            patience: self.patience.or(other.patience),
            agents_max: self.agents_max.or(other.agents_max),
            live_max: self.live_max.or(other.live_max),
            children_max: self.children_max.or(other.children_max),
            depth_max: self.depth_max.or(other.depth_max),
            mailbox_max: self.mailbox_max.or(other.mailbox_max),
            mailbox_bytes: self.mailbox_bytes.or(other.mailbox_bytes),
            stored_bytes: self.stored_bytes.or(other.stored_bytes),
        }
    }

    /// Refuses zero, with which nothing could be done.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        let slots = |slots: Option<u32>| slots.map(u64::from);
        let small = |points: Option<u8>| points.map(u64::from);
        let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
        let time = |time: Option<Time>| {
            time.map(|time| u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX))
        };
        let all = [
            ("request_tokens", self.request_tokens),
            ("window_tokens", self.window_tokens),
            ("window_calls", self.window_calls),
            ("window_microdollars", self.window_microdollars),
            ("max_tokens", self.max_tokens),
            ("max_calls", self.max_calls),
            ("max_microdollars", self.max_microdollars),
            ("model_slots", slots(self.model_slots)),
            ("tool_slots", slots(self.tool_slots)),
            ("cpu_slice", time(self.cpu_slice)),
            ("model_slice", time(self.model_slice)),
            ("cut_points", small(self.cut_points)),
            ("agents_max", slots(self.agents_max)),
            ("live_max", slots(self.live_max)),
            ("children_max", slots(self.children_max)),
            ("depth_max", small(self.depth_max)),
            ("mailbox_max", slots(self.mailbox_max)),
            ("mailbox_bytes", bytes(self.mailbox_bytes)),
            ("stored_bytes", bytes(self.stored_bytes)),
        ];
        match all.into_iter().find(|(_, value)| *value == Some(0)) {
            Some((key, _)) => Err(format!("{key} is 0; {ZERO}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::{ModelOptions, Models};

    fn options() -> AgentOptions {
        let environment = Arc::new(|_: &str| None);
        let models = Models::new(ModelOptions::default(), environment).expect("models");
        AgentOptions::new(models, Arc::new(|name| Err(name.to_owned())))
    }

    fn table(text: &str) -> HostTable {
        toml::from_str(text).expect("a table")
    }

    #[test]
    fn what_is_set_is_in_force_and_all_else_stays() {
        let (mut set, usual) = (options(), options());
        table(
            "model_slots = 3\ntool_slots = 4\ncpu_slice = \"5ms\"\nmodel_slice = \"6s\"\n\
             cut_points = 7\nagents_max = 8\nchildren_max = 9\ndepth_max = 10\n\
             mailbox_max = 11\nmailbox_bytes = \"12KiB\"\nstored_bytes = \"13KiB\"\n\
             call_patience = \"14s\"\nlive_max = 15\nrequest_tokens = 16\nmax_calls = 17\n",
        )
        .over(&mut set);
        let schedule = &set.schedule;
        assert_eq!((set.model_slots, schedule.tool_slots), (3, 4));
        assert_eq!(schedule.cpu_slice, Duration::from_millis(5));
        assert_eq!(schedule.model_slice, Duration::from_secs(6));
        assert_eq!(schedule.cut, Some(CutOptions { points: 7 }));
        assert_eq!((schedule.agents_max, set.children_max, schedule.depth_max), (8, 9, 10));
        assert_eq!((set.mailbox_max, set.mailbox_bytes_max), (11, 12 << 10));
        assert_eq!((set.stored_bytes_max, set.live_max), (13 << 10, 15));
        assert_eq!(set.call_patience, Duration::from_secs(14));
        assert_eq!(schedule.host_limits.request_tokens, Some(16));
        assert_eq!(schedule.host_limits.total_calls, Some(17));
        assert_eq!(schedule.host_limits.window_tokens, usual.schedule.host_limits.window_tokens);
        assert_eq!(set.message_bytes_max, usual.message_bytes_max);
    }

    #[test]
    fn a_flag_goes_over_the_file() {
        let file = table("model_slots = 3\ntool_slots = 4\npatience = \"5s\"\n");
        let both = table("model_slots = 30\n").or(&file);
        assert_eq!((both.model_slots, both.tool_slots), (Some(30), Some(4)));
        assert_eq!(both.patience, file.patience);
    }

    #[test]
    fn zero_is_refused_by_name_where_it_would_stop_all() {
        for key in ["model_slots", "agents_max", "request_tokens", "mailbox_max", "cut_points"] {
            let error = table(&format!("{key} = 0")).check().expect_err(key);
            assert!(error.starts_with(&format!("{key} is 0;")), "{error}");
        }
        // A provider that says "not now" is then told to the agent at once.
        table("call_patience = \"0s\"").check().expect("it may be");
    }
}
