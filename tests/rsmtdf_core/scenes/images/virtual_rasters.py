"""Virtual rasters, written as GDAL writes them."""


def write_vrt(path, source, attributes="", more=""):
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}" {attributes}>{more}<SimpleSource>{source}'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path.write_text(f'<VRTDataset rasterXSize="30" rasterYSize="20">{bands}</VRTDataset>')
