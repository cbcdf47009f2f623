//! Device classes of a gateway: which device nodes there are, and who has which.
