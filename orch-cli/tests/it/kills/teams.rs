//! The teams that are killed: a pipe, a map and a loop of small programs whose answers are known.

/// Chooses moments and teams: SplitMix64, the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `below`.
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// A team and what it does.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) durability: &'static str,
    /// The longest that it lives the first time, in microseconds.
    pub(super) life: u64,
}

const GUARDS: &str = "\
[guards]
max_iterations = 1000000
max_messages_per_agent = 1000000
[run]
grace = \"20ms\"
";

/// One program for all: says in the log what it begins and ends, and answers what its name says. Fails
/// at some things the first time.
const PROGRAM: &str = r#"
x=$(cat)
echo "begin $ORCH_AGENT_NAME $ORCH_MESSAGE_ID $ORCH_ATTEMPT" >> log
case $ORCH_ATTEMPT/$x in 1/3|1/'a(2)'|1/*'# Work
4'*) exit 75 ;; esac
case $ORCH_AGENT_NAME in
    list) printf '1\n2\n3\n4\n5\n6\n7\n8\n9\n' ;;
    sum) echo $(($(echo $x | tr ' ' '+'))) ;;
    square) echo $((x * x)) ;;
    do) n=$(echo "$x" | sed -n '/^# Work/{n;p;}'); echo $((n + 1)) ;;
    check) if [ "$(echo "$x" | sed -n '/^# Work/{n;p;}')" = 8 ]; then echo APPROVED; else echo more; fi ;;
    *) echo "$ORCH_AGENT_NAME($x)" ;;
esac
echo "end $ORCH_AGENT_NAME $ORCH_MESSAGE_ID $ORCH_ATTEMPT" >> log
"#;

impl Story {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let name = ["pipe", "map", "loop"][usize::try_from(dice.roll(3)).unwrap()];
        let durability = ["sync", "os"][usize::try_from(dice.roll(2)).unwrap()];
        Self {
            name,
            durability,
            life: [40_000, 100_000, 300_000][usize::try_from(dice.roll(3)).unwrap()],
        }
    }

    pub(super) fn inputs(&self) -> &'static [&'static str] {
        match self.name {
            "pipe" => &["text:1", "text:2", "text:3", "text:4", "text:5", "text:6"],
            "map" => &[],
            _ => &["text:go"],
        }
    }

    /// Agents whose messages are handled one after the other, in the order of their acceptance.
    pub(super) fn is_in_order(&self) -> bool {
        self.name != "map"
    }

    pub(super) fn answer(&self) -> &'static str {
        match self.name {
            "pipe" => "c(b(a(1)))\nc(b(a(2)))\nc(b(a(3)))\nc(b(a(4)))\nc(b(a(5)))\nc(b(a(6)))",
            // The squares of 1 to 9.
            "map" => "285",
            // One more each round, until there are eight.
            _ => "8",
        }
    }

    fn agents(&self) -> &'static [&'static str] {
        match self.name {
            "pipe" => &["a", "b", "c"],
            "map" => &["list", "square", "sum"],
            _ => &["do", "check"],
        }
    }

    fn flow(&self) -> &'static str {
        match self.name {
            "pipe" => {
                "pipe = [\"a\", \"b\", \"c\"]\n\
                 urgent = [{ to = \"a\", content = \"now\", after_answers = 4 }]"
            }
            "map" => "map = [\"square\"]\nover = { agent = \"list\" }\nreduce = \"sum\"",
            _ => {
                "loop = [\"do\", \"check\"]\nuntil = { agent = \"check\", says = \"APPROVED\" }\n\
                 at_most = 30"
            }
        }
    }

    pub(super) fn team(&self, mark: &str) -> String {
        let concurrency = if self.name == "map" { 3 } else { 1 };
        let agent = |name: &&str| {
            format!(
                "[agents.{name}]\ncommand = [\"sh\", \"-c\", '''{PROGRAM}''']\n\
                 concurrency = {concurrency}\nretries = 1000000\n\
                 settings = {{ cwd = \".\", env = {{ MARK = \"{mark}\" }} }}\n"
            )
        };
        let agents: String = self.agents().iter().map(agent).collect();
        format!("{GUARDS}{agents}[flow]\n{}\n", self.flow())
    }
}
