//! Reads the maps that the programs fill.

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};
use tcpwatch_common::{
    counters::Counters,
    handshake::{FREE, Handshake},
    switches::EXPORT_TRANSITIONS,
};

/// The maps, with the capacity of the bounded one.
pub struct Maps {
    pub(super) counters: PerCpuArray<MapData, Counters>,
    pub(super) handshakes: HashMap<MapData, u64, Handshake>,
    pub(super) switches: Array<MapData, u32>,
    pub(super) handshake_capacity: u32,
}

impl Maps {
    /// The counts of all CPUs together: one system call.
    ///
    /// # Errors
    /// What the look-up gave.
    pub fn counters(&self) -> Result<Box<Counters>, MapError> {
        let per_cpu = self.counters.get(&0, 0)?;
        let mut total = Box::new(Counters::ZERO);
        for counters in per_cpu.iter() {
            total.add(counters);
        }
        Ok(total)
    }

    /// The handshakes under way, by socket. One that ends meanwhile may be left out.
    ///
    /// # Errors
    /// What iterating gave.
    pub fn handshakes(&self) -> Result<Vec<(u64, Handshake)>, MapError> {
        let mut found = Vec::new();
        // A key that is deleted while the walk stands on it makes the kernel start over: the bound
        // ends a walk that a busy table would keep going, and the set drops what comes twice.
        let mut seen = std::collections::HashSet::new();
        for key in self
            .handshakes
            .keys()
            .take(2 * self.handshake_capacity as usize)
        {
            let key = key?;
            if !seen.insert(key) {
                continue;
            }
            match self.handshakes.get(&key, 0) {
                Ok(handshake) if handshake.state == FREE => {}
                Ok(handshake) => found.push((key, handshake)),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// How many handshakes the table holds at most.
    #[must_use]
    pub const fn handshake_capacity(&self) -> u32 {
        self.handshake_capacity
    }

    /// Turns the export of every transition on or off.
    ///
    /// # Errors
    /// What the update gave.
    pub fn export_transitions(&mut self, on: bool) -> Result<(), MapError> {
        self.switches
            .set(0, if on { EXPORT_TRANSITIONS } else { 0 }, 0)
    }
}
