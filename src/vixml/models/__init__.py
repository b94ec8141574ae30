"""The shared network: text backbone, image injection, pooling, label side; build, save and open."""
