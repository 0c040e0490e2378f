#   docker build --tag rsmtdf .                              PyTorch for CUDA
#   docker build --tag rsmtdf:cpu --build-arg DEVICE=cpu .   PyTorch for the CPU alone, several GB smaller
# The libraries of CUDA come with PyTorch's wheels; the host needs NVIDIA's driver and its container toolkit.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

# GDAL inside rasterio's wheel needs libexpat; torch.compile needs a compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir uv

ARG DEVICE=cuda
ARG EXTRAS=export,remote,trackers

WORKDIR /source
COPY constraints.txt ./
# PyTorch comes before the sources, so that a change in them does not install it again.
RUN case "$DEVICE" in \
        cuda) backend= ;; \
        cpu) backend="--torch-backend cpu" ;; \
        *) echo "DEVICE is cuda or cpu, not $DEVICE" >&2; exit 1 ;; \
    esac \
    && uv pip install --system --no-cache --constraint constraints.txt $backend torch torchvision

COPY . .
RUN uv pip install --system --no-cache --constraint constraints.txt ".[$EXTRAS]" && rm -rf /source/*

# Any user may run the image, so everything that is written goes to /work or /tmp.
ENV RSMTDF_CACHE=/work/cache \
    HF_HOME=/work/cache/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    HOME=/tmp
WORKDIR /work
ENTRYPOINT ["rsmtdf"]
CMD ["--help"]
