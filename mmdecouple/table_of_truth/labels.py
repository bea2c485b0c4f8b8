"""Names of published numbers, in the metafiles and in other files."""

# A number is identified by its data set and its name, as in the metafiles.
Metric = tuple[str, str]

VOC, COCO, OBJECTS = 'PASCAL VOC 07 test', 'COCO val2017', 'COCO val2017 objects'
ADE, VOC_SEG, STUFF = 'ADE20K val', 'PASCAL VOC 12 val', 'COCO-Stuff val2017, 15 classes'
# Names of the same numbers in other files; a cell `a / b` has several names, and three numbers are AP / AP50 / AP75.
_BOX, _MASK, _TOP1, _TOP1_D = (COCO, 'box AP'), (COCO, 'mask AP'), (OBJECTS, 'OKNN top 1'), (OBJECTS, 'OKNN-D top 1')
_INTER, _INTRA = (OBJECTS, 'CR inter'), (OBJECTS, 'CR intra')
_LINEAR, _FCN, _K500 = ((VOC_SEG, f'mIoU {name}') for name in ('linear', 'FCN', 'K=500'))
_STUFF_LINEAR, _STUFF_K500 = (STUFF, 'mIoU linear'), (STUFF, 'mIoU K=500')
LABELS: dict[str, tuple[Metric, ...]] = {
    'VOC AP': ((VOC, 'box AP'),),
    'box AP': (_BOX,),
    'COCO box AP': (_BOX,),
    'mask AP': (_MASK,),
    'COCO mask AP': (_MASK,),
    'COCO box / mask AP': (_BOX, _MASK),
    'ADE20K mIoU': ((ADE, 'mIoU'),),
    'mIoU': ((ADE, 'mIoU'),),
    'OKNN': (_TOP1,),
    'OKNN top-1': (_TOP1,),
    'OKNN-D': (_TOP1_D,),
    'OKNN top-5': ((OBJECTS, 'OKNN top 5'),),
    'OKNN-D top-5': ((OBJECTS, 'OKNN-D top 5'),),
    'CR inter': (_INTER,),
    'CR intra': (_INTRA,),
    'CR inter / intra': (_INTER, _INTRA),
    'VOC12 linear': (_LINEAR,),
    'FCN': (_FCN,),
    'VOC12 FCN': (_FCN,),
    'K=500': (_K500,),
    'VOC12 K=500': (_K500,),
    'VOC linear / FCN / K=500': (_LINEAR, _FCN, _K500),
    'COCO-Stuff linear': (_STUFF_LINEAR,),
    'COCO-Stuff K=500': (_STUFF_K500,),
    'COCO-Stuff linear / K=500': (_STUFF_LINEAR, _STUFF_K500),
}
