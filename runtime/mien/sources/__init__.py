"""What gives frames: pictures, videos, cameras, streams, addresses."""
