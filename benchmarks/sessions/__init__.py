"""What is measured of conversations that outlive their requests: the parts that the experiments are made of."""
