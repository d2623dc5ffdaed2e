//! Every value of the core's types reads back equal from its JSON.

use std::fmt::Debug;

use orch_testkit::strategies::{agent_config, agent_message, event, tool_policy};
use proptest::prelude::*;
use serde_json::Value;

fn reads_back<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Clone + Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned,
{
    let text = serde_json::to_string(value)?;
    prop_assert_eq!(&serde_json::from_str::<T>(&text)?, value, "from {}", &text);
    // Through a value too, as a page or a journal reads it.
    let json: Value = serde_json::to_value(value)?;
    prop_assert_eq!(&serde_json::from_value::<T>(json)?, value, "from {}", &text);
    Ok(())
}

proptest! {
    #[test]
    fn an_agents_configuration_reads_back(config in agent_config()) {
        reads_back(&config)?;
    }

    #[test]
    fn a_tool_policy_reads_back(policy in tool_policy()) {
        reads_back(&policy)?;
    }

    #[test]
    fn a_message_reads_back(message in agent_message()) {
        reads_back(&message)?;
    }

    #[test]
    fn an_event_reads_back(event in event()) {
        reads_back(&event)?;
    }
}
