"""Networks: the flow-matching transformer and the encoders, codecs and vocoders around it (torch)."""
