//! Empty on purpose: aya-build watches a library target to know when to build the programs again.
#![no_std]
